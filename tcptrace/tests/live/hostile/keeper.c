/* Connects to the port it is told, from code that it makes at run time, and keeps the connection.
 *
 *     keeper PORT            until its standard input ends
 *     keeper PORT leave      until then; a child of it keeps the connection for ever
 *     keeper PORT hide FILE  with its memory locked, by whoever waits for a page of FILE
 *     keeper PORT return     as a function of another program
 */

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };

static unsigned short port;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

__attribute__((noinline)) void keep_a_connection(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    unsigned long long cookie;
    socklen_t length = sizeof cookie;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0)
        fail("connect");
    printf("%llu\n", cookie);
    fflush(stdout);
}

static void leave_to_a_child(void)
{
    pid_t child = fork();

    if (child < 0)
        fail("fork");
    if (child == 0)
        for (;;)
            pause();
    printf("%d\n", child);
    fflush(stdout);
}

/* A thread, and whether it may go on. */
struct waiter {
    sem_t go;
    _Atomic pid_t tid;
    void *page;
};

/* Reads a page by the file of its own memory, which stays locked against changes of the map meanwhile. */
static void *reads(void *own)
{
    struct waiter *waiter = own;
    int memory = open("/proc/self/mem", O_RDONLY);
    char byte;

    waiter->tid = (pid_t)syscall(SYS_gettid);
    sem_wait(&waiter->go);
    pread(memory, &byte, 1, (off_t)(uintptr_t)waiter->page);
    return NULL;
}

/* Wants to change the map: nobody else may look at it until that is done. */
static void *maps(void *own)
{
    struct waiter *waiter = own;

    waiter->tid = (pid_t)syscall(SYS_gettid);
    sem_wait(&waiter->go);
    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return NULL;
}

/* Lets it go on, and waits until it sleeps in this system call, for what it is not given. */
static void let(struct waiter *waiter, long call)
{
    char path[64], in[64];

    while (waiter->tid == 0)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", waiter->tid);
    sem_post(&waiter->go);
    do {
        int fd = open(path, O_RDONLY);

        memset(in, 0, sizeof in);
        if (fd < 0 || read(fd, in, sizeof in - 1) <= 0)
            fail(path);
        close(fd);
        /* "running", if it does not sleep. */
    } while (!isdigit(in[0]) || atol(in) != call);
}

static void hide(const char *file)
{
    static struct waiter reader, mapper;
    pthread_t thread;
    int fd = open(file, O_RDONLY);

    reader.page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    if (reader.page == MAP_FAILED || pthread_create(&thread, NULL, reads, &reader) != 0 ||
        pthread_create(&thread, NULL, maps, &mapper) != 0)
        fail("hide");
    let(&reader, SYS_pread64);
    let(&mapper, SYS_mmap);
    /* From here on anything that wants memory waits. */
    write(STDOUT_FILENO, "hidden\n", 7);
}

int main(int count, char **arguments)
{
    /* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
    static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
    void *made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (count < 2 || made == MAP_FAILED)
        return 1;
    port = (unsigned short)atoi(arguments[1]);
    memcpy(made, code, sizeof code);
    ((void (*)(void (*)(void)))made)(keep_a_connection);
    if (count == 3 && strcmp(arguments[2], "leave") == 0)
        leave_to_a_child();
    if (count == 4 && strcmp(arguments[2], "hide") == 0)
        hide(arguments[3]);
    if (count == 3 && strcmp(arguments[2], "return") == 0)
        return 0;
    /* Until whoever started it is done. */
    while (getchar() != EOF)
        ;
    return 0;
}
