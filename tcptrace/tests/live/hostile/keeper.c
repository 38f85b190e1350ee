/* Connects to the port it is told, from code that it makes at run time, and keeps the connection. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned short port;

__attribute__((noinline)) void keep_a_connection(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &length) != 0) {
        perror("connect");
        exit(1);
    }
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);
}

int main(int count, char **arguments)
{
    /* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
    static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
    void *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (count != 2 || made == MAP_FAILED)
        return 1;
    port = (unsigned short)atoi(arguments[1]);
    memcpy(made, code, sizeof code);
    ((void (*)(void (*)(void)))made)(keep_a_connection);
    /* Until whoever started it is done. */
    while (getchar() != EOF)
        ;
    return 0;
}
