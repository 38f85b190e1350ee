/*
 * Part of tcptrace's test corpus: a program that leaks TCP sockets on purpose, or half-closes them
 * innocently, and says what is true.
 *
 *   leak --list   the cases, one a line: NAME leak|innocent
 *   leak CASE     sets the case up on 127.0.0.1 and prints its truth, a line of JSON. At a line
 *                 `end` on stdin it ends it and prints {"ended_by": HOW}: a word for all sockets,
 *                 a list in their order where they differ, or null. When stdin ends it exits, and
 *                 its children with it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Code that is to be found in a stack by its name. */
#define NAMED __attribute__((noinline))

static const char REQUEST[] = "request";

static int must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(1);
	}
	return result;
}

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void nap(int ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* ---- Sockets ---- */

/* The ports of a connection, from one end's view; the addresses are all 127.0.0.1. */
struct ends {
	int local, remote;
};

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int local_port(int fd)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	must(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
	return ntohs(address.sin_port);
}

static struct ends ends_of(int fd)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	must(getpeername(fd, (struct sockaddr *)&address, &length), "getpeername");
	return (struct ends){local_port(fd), ntohs(address.sin_port)};
}

static struct ends mirrored(struct ends ends)
{
	return (struct ends){ends.remote, ends.local};
}

static int new_socket(void)
{
	return must(socket(AF_INET, SOCK_STREAM, 0), "socket");
}

static int bound_socket(void)
{
	int fd = new_socket();
	struct sockaddr_in any_port = loopback(0);
	must(bind(fd, (struct sockaddr *)&any_port, sizeof any_port), "bind");
	return fd;
}

static int new_listener(void)
{
	int fd = bound_socket();
	must(listen(fd, 16), "listen");
	return fd;
}

static int connect_socket(int fd, int port)
{
	struct sockaddr_in address = loopback(port);
	must(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
	return fd;
}

static int accept_one(int listener)
{
	return must(accept(listener, NULL, NULL), "accept");
}

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;
	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), "TCP_INFO");
	return info.tcpi_state;
}

static void wait_for_state(int fd, int state)
{
	while (state_of(fd) != state)
		nap(1);
}

/* The same for a socket of which nobody has a descriptor. */
static void wait_until_shown(struct ends ends, unsigned state)
{
	char wanted[64], line[512];
	unsigned host = htonl(INADDR_LOOPBACK);
	snprintf(wanted, sizeof wanted, ": %08X:%04X %08X:%04X %02X ", host, ends.local, host,
		 ends.remote, state);
	for (bool shown = false; !shown; nap(1)) {
		FILE *table = fopen("/proc/net/tcp", "r");
		while (table && !shown && fgets(line, sizeof line, table))
			shown = strstr(line, wanted);
		must(table ? fclose(table) : -1, "/proc/net/tcp");
	}
}

static void send_text(int fd, const char *text)
{
	must(send(fd, text, strlen(text), 0), "send");
}

/* A connection with both ends in this process. */
struct pair {
	int client, server;
};

static struct pair new_pair(void)
{
	int listener = new_listener();
	int client = connect_socket(new_socket(), local_port(listener));
	struct pair pair = {client, accept_one(listener)};
	close(listener);
	return pair;
}

/* When something happened. */
struct when {
	int64_t before, after;
};

static struct when client_leaves(struct pair *pair)
{
	int64_t before = now();
	close(pair->client);
	wait_for_state(pair->server, TCP_CLOSE_WAIT);
	return (struct when){before, now()};
}

/* ---- What servers do ---- */

/* Reads up to the end of file. */
NAMED static void handle_request(int fd)
{
	char data[4096];
	while (must(recv(fd, data, sizeof data, 0), "recv") > 0)
		continue;
}

/* Reads a request and leaves what comes after it alone. */
NAMED static void read_request(int fd)
{
	char data[sizeof REQUEST - 1];
	must(recv(fd, data, sizeof data, MSG_WAITALL), "recv");
}

NAMED static void check_for_data(int fd)
{
	char byte;
	must(recv(fd, &byte, 1, MSG_PEEK), "recv");
}

NAMED static void relay_to_pipe(int fd, int pipe)
{
	while (must(splice(fd, NULL, pipe, NULL, 4096, 0), "splice") > 0)
		continue;
}

/* Sends more than any buffer takes. */
NAMED static void send_report(int fd)
{
	enum { HUGE = 64 << 20 };
	char *report = calloc(1, HUGE);
	send(fd, report, HUGE, 0);
	free(report);
}

NAMED static void fill_send_buffer(int fd)
{
	char data[4096] = {0};
	while (send(fd, data, sizeof data, MSG_DONTWAIT) > 0)
		continue;
	must(errno == EAGAIN ? 0 : -1, "send");
}

NAMED static void spin_on_end_of_file(int fd)
{
	int64_t until = now() + 200 * 1000000;
	char data[64];
	while (must(recv(fd, data, sizeof data, 0), "recv") > 0 || now() < until)
		continue;
}

/* ---- Other processes ---- */

/* A process of ours and a line to it; in that process itself the pid is 0. */
struct actor {
	pid_t pid;
	int line;
};

static struct actor fork_actor(void)
{
	pid_t parent = getpid();
	int lines[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, lines), "socketpair");
	pid_t pid = must(fork(), "fork");
	close(lines[pid ? 1 : 0]);
	if (pid)
		return (struct actor){pid, lines[0]};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return (struct actor){0, lines[1]};
}

static void tell(struct actor other)
{
	must(write(other.line, "", 1), "write");
}

static void hear(struct actor other)
{
	char byte;
	if (read(other.line, &byte, 1) != 1)
		_exit(1);
}

/* Does nothing from now on but live. */
_Noreturn static void live_on(void)
{
	for (;;)
		pause();
}

static void pass_descriptor(int line, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof control};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	must(sendmsg(line, &message, 0), "sendmsg");
	close(fd);
}

static int receive_descriptor(int line)
{
	int fd;
	char byte, control[CMSG_SPACE(sizeof fd)];
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof control};
	must(recvmsg(line, &message, 0), "recvmsg");
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	must(header ? 0 : -1, "no descriptor came");
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

/* ---- The protocol ---- */

/* The truth about a socket that leaks. */
struct leak {
	struct ends ends;
	const char *state, *verdict;
	struct when began;
	pid_t blame, holders[3];
	const char *held_by;
	pid_t eof_read_by, eof_peeked_by;
	const char *function;
};

static struct leak leaks[2];
static struct ends innocents[4];
static int leak_count, innocent_count;

static void declare(struct leak leak)
{
	leaks[leak_count++] = leak;
}

static void declare_innocent(struct ends ends)
{
	innocents[innocent_count++] = ends;
}

/* A leak of which this process is the only holder. */
static struct leak ours(const char *state, const char *verdict, struct ends ends, struct when began)
{
	pid_t self = getpid();
	return (struct leak){ends, state, verdict, began, .blame = self, .holders = {self}};
}

static void print_text(const char *name, const char *text)
{
	printf(text ? "\"%s\":\"%s\"," : "\"%s\":null,", name, text);
}

static void print_pid(const char *name, pid_t pid)
{
	printf(pid ? "\"%s\":%d," : "\"%s\":null,", name, pid);
}

static void print_ends(struct ends ends)
{
	printf(ends.local ? "\"local\":\"127.0.0.1:%d\"," : "\"local\":null,", ends.local);
	printf(ends.remote ? "\"remote\":\"127.0.0.1:%d\"" : "\"remote\":null", ends.remote);
}

static void print_leak(const struct leak *leak)
{
	printf("{");
	print_ends(leak->ends);
	printf(",");
	print_text("state", leak->state);
	print_text("verdict", leak->verdict);
	print_pid("blame", leak->blame);
	printf("\"holders\":[");
	for (int i = 0; i < 3 && leak->holders[i]; i++)
		printf("%s%d", i ? "," : "", leak->holders[i]);
	printf("],");
	print_text("held_by", leak->held_by);
	print_pid("eof_read_by", leak->eof_read_by);
	print_pid("eof_peeked_by", leak->eof_peeked_by);
	print_text("function", leak->function);
	printf("\"not_before_ns\":%lld,", (long long)leak->began.before);
	printf("\"not_after_ns\":%lld}", (long long)leak->began.after);
}

/* Nothing here takes long: what does has failed. */
static void hurry(bool on)
{
	alarm(on ? 20 : 0);
}

static void print_truth(void)
{
	printf("{\"sockets\":[");
	for (int i = 0; i < leak_count; i++) {
		printf(i ? "," : "");
		print_leak(&leaks[i]);
	}
	printf("],\"innocent\":[");
	for (int i = 0; i < innocent_count; i++) {
		printf(i ? ",{" : "{");
		print_ends(innocents[i]);
		printf("}");
	}
	printf("]}\n");
	fflush(stdout);
	hurry(false);
}

/* Whether `end` comes within that time, -1 being any. */
static bool told_to_end(int ms)
{
	char line[16];
	if (poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, ms) == 0)
		return false;
	if (read(0, line, sizeof line) <= 0)
		_exit(0);
	hurry(true);
	return true;
}

static void tell_truth_until_end(void)
{
	print_truth();
	told_to_end(-1);
}

static void print_ended(const char *how)
{
	printf("{\"ended_by\":%s}\n", how);
	fflush(stdout);
	hurry(false);
}

_Noreturn static void ended(const char *how)
{
	char line[16];
	print_ended(how);
	while (read(0, line, sizeof line) > 0)
		continue;
	_exit(0);
}

_Noreturn static void exit_as_end(void)
{
	print_ended("\"process_exit\"");
	_exit(0);
}

/* ---- Leaks ---- */

static void eof_unread(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	read_request(pair.server);
	declare(ours("CLOSE_WAIT", "eof_unread", ends_of(pair.server), client_leaves(&pair)));
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed\"");
}

static void eof_read(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "eof_read", ends_of(pair.server), left);
	handle_request(pair.server);
	leak.eof_read_by = getpid();
	leak.function = "handle_request";
	declare(leak);
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed\"");
}

struct job {
	int fd;
	sem_t done;
};

static void *work(void *argument)
{
	struct job *job = argument;
	handle_request(job->fd);
	sem_post(&job->done);
	live_on();
}

static void eof_read_threaded(void)
{
	struct pair pair = new_pair();
	struct job job = {.fd = pair.server};
	pthread_t worker;
	sem_init(&job.done, 0, 0);
	must(-pthread_create(&worker, NULL, work, &job), "pthread_create");
	send_text(pair.client, REQUEST);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "eof_read", ends_of(pair.server), left);
	while (sem_wait(&job.done) < 0)
		continue;
	leak.eof_read_by = getpid();
	leak.function = "handle_request";
	declare(leak);
	tell_truth_until_end();
	exit_as_end();
}

static void data_unread(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	declare(ours("CLOSE_WAIT", "data_unread", ends_of(pair.server), client_leaves(&pair)));
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed_with_reset\"");
}

static void shared_fd_child_reads(void)
{
	struct pair pair = new_pair();
	struct actor child = fork_actor();
	if (!child.pid) {
		close(pair.client);
		tell(child);
		handle_request(pair.server);
		close(pair.server);
		tell(child);
		live_on();
	}
	hear(child);
	send_text(pair.client, REQUEST);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "shared_fd", ends_of(pair.server), left);
	hear(child);
	leak.eof_read_by = child.pid;
	leak.function = "handle_request";
	declare(leak);
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed\"");
}

static void shared_fd_inherited(void)
{
	struct pair pair = new_pair();
	struct actor child = fork_actor();
	if (!child.pid) {
		close(pair.client);
		tell(child);
		hear(child);
		_exit(0);
	}
	hear(child);
	send_text(pair.client, REQUEST);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "shared_fd", ends_of(pair.server), left);
	handle_request(pair.server);
	close(pair.server);
	leak.blame = leak.holders[0] = child.pid;
	leak.eof_read_by = getpid();
	leak.function = "handle_request";
	declare(leak);
	tell_truth_until_end();
	tell(child);
	must(waitpid(child.pid, NULL, 0), "waitpid");
	ended("\"process_exit\"");
}

static void not_accepted(void)
{
	int listener = new_listener();
	int client = connect_socket(new_socket(), local_port(listener));
	struct ends ends = mirrored(ends_of(client));
	send_text(client, REQUEST);
	int64_t before = now();
	close(client);
	wait_until_shown(ends, TCP_CLOSE_WAIT);
	struct leak leak = ours("CLOSE_WAIT", "not_accepted", ends, (struct when){before, now()});
	leak.holders[0] = 0;
	declare(leak);
	tell_truth_until_end();
	close(listener);
	ended("\"listener_closed\"");
}

/* A client socket that takes only little from a peer who does not stop. */
static int connect_narrow(int port)
{
	int fd = new_socket(), bytes = 4096;
	must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), "SO_RCVBUF");
	return connect_socket(fd, port);
}

NAMED static void finish_sending(int fd)
{
	must(shutdown(fd, SHUT_WR), "shutdown");
	wait_for_state(fd, TCP_FIN_WAIT2);
}

static void send_blocked(void)
{
	int listener = new_listener();
	struct actor client = fork_actor();
	if (!client.pid) {
		int fd = connect_narrow(local_port(listener));
		close(listener);
		hear(client);
		finish_sending(fd);
		tell(client);
		hear(client);
		handle_request(fd);
		close(fd);
		tell(client);
		live_on();
	}
	int server = accept_one(listener);
	close(listener);
	fill_send_buffer(server);
	int64_t before = now();
	tell(client);
	hear(client);
	struct when began = {before, now()};
	struct leak theirs =
		ours("FIN_WAIT2", "peer_not_closing", mirrored(ends_of(server)), began);
	theirs.holders[0] = client.pid;
	declare(ours("CLOSE_WAIT", "send_blocked", ends_of(server), began));
	declare(theirs);
	tell_truth_until_end();
	close(server);
	tell(client);
	hear(client);
	ended("[\"closed\",\"peer_closed\"]");
}

static void peer_not_closing(void)
{
	int listener = new_listener();
	struct actor client = fork_actor();
	if (!client.pid) {
		int fd = connect_socket(new_socket(), local_port(listener));
		close(listener);
		send_text(fd, REQUEST);
		hear(client);
		finish_sending(fd);
		tell(client);
		hear(client);
		close(fd);
		tell(client);
		live_on();
	}
	int server = accept_one(listener);
	close(listener);
	int64_t before = now();
	tell(client);
	handle_request(server);
	struct leak leak =
		ours("CLOSE_WAIT", "eof_read", ends_of(server), (struct when){before, now()});
	/* The FIN is acknowledged later than it is read. */
	hear(client);
	struct leak theirs = ours("FIN_WAIT2", "peer_not_closing", mirrored(ends_of(server)),
				  (struct when){before, now()});
	theirs.holders[0] = client.pid;
	leak.eof_read_by = getpid();
	leak.function = "handle_request";
	declare(theirs);
	declare(leak);
	tell_truth_until_end();
	tell(client);
	hear(client);
	close(server);
	ended("\"closed\"");
}

static void orphan(void)
{
	int listener = new_listener();
	struct actor client = fork_actor();
	if (!client.pid) {
		int fd = connect_socket(new_socket(), local_port(listener));
		close(listener);
		send_text(fd, REQUEST);
		hear(client);
		close(fd);
		live_on();
	}
	int server = accept_one(listener);
	close(listener);
	read_request(server);
	struct ends ends = ends_of(server);
	int64_t before = now();
	tell(client);
	wait_for_state(server, TCP_CLOSE_WAIT);
	struct when left = {before, now()};
	wait_until_shown(mirrored(ends), TCP_FIN_WAIT2);
	struct leak theirs =
		ours("FIN_WAIT2", "orphan", mirrored(ends), (struct when){before, now()});
	theirs.blame = theirs.holders[0] = 0;
	declare(theirs);
	declare(ours("CLOSE_WAIT", "eof_unread", ends, left));
	tell_truth_until_end();
	close(server);
	ended("[\"peer_closed\",\"closed\"]");
}

static void no_fd_in_flight(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	read_request(pair.server);
	struct ends ends = ends_of(pair.server);
	struct when began = client_leaves(&pair);
	int lines[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, lines), "socketpair");
	pass_descriptor(lines[0], pair.server);
	declare((struct leak){ends, "CLOSE_WAIT", "no_fd", began, .held_by = "unix_socket"});
	tell_truth_until_end();
	close(lines[0]);
	close(lines[1]);
	ended("\"closed\"");
}

static void *report(void *argument)
{
	send_report(*(int *)argument);
	return NULL;
}

static void no_fd_blocked_call(void)
{
	int listener = new_listener();
	int client = connect_narrow(local_port(listener));
	int server = accept_one(listener);
	close(listener);
	struct ends ends = ends_of(server);
	pthread_t worker;
	must(-pthread_create(&worker, NULL, report, &server), "pthread_create");
	/* With data on its way the thread is in its call, which cannot return. */
	for (int queued = 0; !queued; nap(1))
		must(ioctl(server, SIOCOUTQ, &queued), "SIOCOUTQ");
	close(server);
	int64_t before = now();
	finish_sending(client);
	struct when began = {before, now()};
	declare((struct leak){ends, "CLOSE_WAIT", "no_fd", began, .held_by = "blocked_call"});
	declare(ours("FIN_WAIT2", "peer_not_closing", mirrored(ends), began));
	tell_truth_until_end();
	close(client);
	pthread_join(worker, NULL);
	ended("[\"reset_by_peer\",\"closed_with_reset\"]");
}

static void closed_not_released_shutdown(void)
{
	struct pair pair = new_pair();
	struct ends ends = ends_of(pair.server);
	client_leaves(&pair);
	int64_t before = now();
	must(shutdown(pair.server, SHUT_RDWR), "shutdown");
	wait_for_state(pair.server, TCP_CLOSE);
	declare(ours("CLOSE", "closed_not_released", ends, (struct when){before, now()}));
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed\"");
}

static void closed_not_released_reset(void)
{
	struct pair pair = new_pair();
	struct ends ends = ends_of(pair.server);
	struct linger reset = {.l_onoff = 1};
	must(setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
	int64_t before = now();
	close(pair.client);
	wait_for_state(pair.server, TCP_CLOSE);
	declare(ours("CLOSE", "closed_not_released", ends, (struct when){before, now()}));
	tell_truth_until_end();
	close(pair.server);
	ended("\"closed\"");
}

static void eof_peeked(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	read_request(pair.server);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "eof_unread", ends_of(pair.server), left);
	check_for_data(pair.server);
	leak.eof_peeked_by = getpid();
	declare(leak);
	tell_truth_until_end();
	must(shutdown(pair.server, SHUT_WR), "shutdown");
	wait_for_state(pair.server, TCP_CLOSE);
	/* Shut down and closed at once, as Java's close does. */
	close(pair.server);
	ended("\"closed\"");
}

static void drained_splice(void)
{
	struct pair pair = new_pair();
	int ends_of_pipe[2];
	must(pipe(ends_of_pipe), "pipe");
	send_text(pair.client, REQUEST);
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "drained", ends_of(pair.server), left);
	relay_to_pipe(pair.server, ends_of_pipe[1]);
	declare(leak);
	tell_truth_until_end();
	/* Nobody is left to take it: what comes back is a reset. */
	send_text(pair.server, REQUEST);
	wait_for_state(pair.server, TCP_CLOSE);
	close(pair.server);
	ended("\"reset_by_peer\"");
}

static void passed(void)
{
	struct actor child = fork_actor();
	if (!child.pid) {
		int fd = receive_descriptor(child.line);
		handle_request(fd);
		tell(child);
		hear(child);
		close(fd);
		tell(child);
		live_on();
	}
	struct pair pair = new_pair();
	struct ends ends = ends_of(pair.server);
	pass_descriptor(child.line, pair.server);
	send_text(pair.client, REQUEST);
	int64_t before = now();
	close(pair.client);
	hear(child);
	struct leak leak = ours("CLOSE_WAIT", "eof_read", ends, (struct when){before, now()});
	leak.blame = leak.holders[0] = leak.eof_read_by = child.pid;
	leak.function = "handle_request";
	declare(leak);
	tell_truth_until_end();
	tell(child);
	hear(child);
	ended("\"closed\"");
}

static void prefork_two_holders(void)
{
	struct pair pair = new_pair();
	struct actor children[2];
	for (int i = 0; i < 2; i++) {
		children[i] = fork_actor();
		if (!children[i].pid) {
			close(pair.client);
			tell(children[i]);
			live_on();
		}
		hear(children[i]);
	}
	struct when left = client_leaves(&pair);
	struct leak leak = ours("CLOSE_WAIT", "eof_unread", ends_of(pair.server), left);
	leak.holders[1] = children[0].pid;
	leak.holders[2] = children[1].pid;
	declare(leak);
	tell_truth_until_end();
	exit_as_end();
}

/* ---- Innocent ---- */

enum { PACE_MS = 20 };

/* A client that is done sending and reads what comes. */
_Noreturn static void play_half_closed_client(struct actor self, int listener)
{
	int fd = connect_socket(new_socket(), local_port(listener));
	close(listener);
	send_text(fd, REQUEST);
	finish_sending(fd);
	tell(self);
	handle_request(fd);
	close(fd);
	tell(self);
	live_on();
}

/* A server that sends, whatever its client does, until it is told to stop. */
_Noreturn static void play_streaming_server(struct actor self, int listener)
{
	int fd = accept_one(listener);
	close(listener);
	handle_request(fd);
	do
		send_text(fd, "tick");
	while (poll(&(struct pollfd){.fd = self.line, .events = POLLIN}, 1, PACE_MS) == 0);
	close(fd);
	live_on();
}

static void streaming_after_half_close(void)
{
	int listener = new_listener();
	struct actor client = fork_actor();
	if (!client.pid)
		play_half_closed_client(client, listener);
	int server = accept_one(listener);
	close(listener);
	handle_request(server);
	hear(client);
	declare_innocent(ends_of(server));
	declare_innocent(mirrored(ends_of(server)));
	print_truth();
	do
		send_text(server, "tick");
	while (!told_to_end(PACE_MS));
	close(server);
	hear(client);
	ended("null");
}

static void receiving_half_close(void)
{
	int listener = new_listener();
	struct actor server = fork_actor();
	if (!server.pid)
		play_streaming_server(server, listener);
	int client = connect_socket(new_socket(), local_port(listener));
	close(listener);
	send_text(client, REQUEST);
	finish_sending(client);
	declare_innocent(ends_of(client));
	declare_innocent(mirrored(ends_of(client)));
	print_truth();
	char data[4096];
	do
		must(recv(client, data, sizeof data, 0), "recv");
	while (!told_to_end(0));
	tell(server);
	handle_request(client);
	close(client);
	ended("null");
}

/* Hands on one piece; 0 at the end of file. */
NAMED static int relay(int from, int to)
{
	char data[4096];
	int length = must(recv(from, data, sizeof data, 0), "recv");
	return length ? must(send(to, data, length, 0), "send") : 0;
}

static void proxy_one_direction(void)
{
	int back = new_listener(), front = new_listener();
	struct actor server = fork_actor();
	if (!server.pid) {
		close(front);
		play_streaming_server(server, back);
	}
	struct actor client = fork_actor();
	if (!client.pid) {
		close(back);
		play_half_closed_client(client, front);
	}
	int downstream = accept_one(front), upstream = new_socket();
	connect_socket(upstream, local_port(back));
	close(front);
	close(back);
	while (relay(downstream, upstream))
		continue;
	finish_sending(upstream);
	hear(client);
	declare_innocent(ends_of(downstream));
	declare_innocent(mirrored(ends_of(downstream)));
	declare_innocent(ends_of(upstream));
	declare_innocent(mirrored(ends_of(upstream)));
	print_truth();
	do
		relay(upstream, downstream);
	while (!told_to_end(0));
	tell(server);
	while (relay(upstream, downstream))
		continue;
	close(upstream);
	close(downstream);
	hear(client);
	ended("null");
}

static void only_created_bound_listening_refused(void)
{
	int created = new_socket(), bound = bound_socket(), listener = new_listener();
	int refused = bound_socket();
	struct sockaddr_in closed_port = loopback(local_port(bound));
	if (connect(refused, (struct sockaddr *)&closed_port, sizeof closed_port) == 0 ||
	    errno != ECONNREFUSED)
		must(-1, "connect to a port without a listener");
	declare_innocent((struct ends){.local = local_port(bound)});
	declare_innocent((struct ends){.local = local_port(listener)});
	declare_innocent((struct ends){local_port(refused), local_port(bound)});
	tell_truth_until_end();
	close(created);
	close(bound);
	close(listener);
	close(refused);
	ended("null");
}

static void established_idle(void)
{
	struct pair pair = new_pair();
	send_text(pair.client, REQUEST);
	read_request(pair.server);
	declare_innocent(ends_of(pair.server));
	declare_innocent(ends_of(pair.client));
	tell_truth_until_end();
	close(pair.client);
	close(pair.server);
	ended("null");
}

/* Makes a request each time it is told to, and waits for the server to close. */
_Noreturn static void play_busy_client(struct actor self, int listener)
{
	int port = local_port(listener);
	close(listener);
	for (;;) {
		hear(self);
		int fd = connect_socket(new_socket(), port);
		send_text(fd, REQUEST);
		must(shutdown(fd, SHUT_WR), "shutdown");
		handle_request(fd);
		close(fd);
		tell(self);
	}
}

static void serve_again_and_again(void (*handle)(int fd))
{
	int listener = new_listener();
	struct actor client = fork_actor();
	if (!client.pid)
		play_busy_client(client, listener);
	print_truth();
	do {
		tell(client);
		int fd = accept_one(listener);
		handle(fd);
		close(fd);
		hear(client);
	} while (!told_to_end(50));
	ended("null");
}

static void closes_in_time(void)
{
	serve_again_and_again(handle_request);
}

static void spins_on_eof_then_closes(void)
{
	serve_again_and_again(spin_on_end_of_file);
}

/* ---- */

#define CASE(name, kind) {#name, #kind, name}

static const struct {
	const char *name, *kind;
	void (*run)(void);
} CASES[] = {
	CASE(eof_unread, leak),
	CASE(eof_read, leak),
	CASE(eof_read_threaded, leak),
	CASE(data_unread, leak),
	CASE(shared_fd_child_reads, leak),
	CASE(shared_fd_inherited, leak),
	CASE(not_accepted, leak),
	CASE(send_blocked, leak),
	CASE(peer_not_closing, leak),
	CASE(orphan, leak),
	CASE(no_fd_in_flight, leak),
	CASE(no_fd_blocked_call, leak),
	CASE(closed_not_released_shutdown, leak),
	CASE(closed_not_released_reset, leak),
	CASE(eof_peeked, leak),
	CASE(drained_splice, leak),
	CASE(passed, leak),
	CASE(prefork_two_holders, leak),
	CASE(streaming_after_half_close, innocent),
	CASE(receiving_half_close, innocent),
	CASE(proxy_one_direction, innocent),
	CASE(only_created_bound_listening_refused, innocent),
	CASE(established_idle, innocent),
	CASE(closes_in_time, innocent),
	CASE(spins_on_eof_then_closes, innocent),
};

int main(int argc, char **argv)
{
	const char *wanted = argc == 2 ? argv[1] : "";
	bool list = !strcmp(wanted, "--list");
	signal(SIGPIPE, SIG_IGN);
	hurry(true);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		if (list)
			printf("%s %s\n", CASES[i].name, CASES[i].kind);
		else if (!strcmp(wanted, CASES[i].name))
			CASES[i].run();
	}
	if (list)
		return 0;
	fprintf(stderr, "usage: %s --list | CASE\n", argv[0]);
	return 2;
}
