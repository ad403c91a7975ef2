/* Transactions a second: MULTI, SET ten times, EXEC, from many clients, which redis-benchmark cannot send.
 *
 * usage: multi-load HOST PORT CLIENTS REQUESTS PIPELINE RANGE
 *
 * Each client sends PIPELINE transactions at once and waits for all their replies. Prints the
 * transactions a second. A reply that is not the expected one ends it with code 1. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SETS 10

static char expected[4096];
static size_t expected_len;

struct client {
    int fd;
    size_t got; /* Bytes of the replies to the last pipeline. */
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_pipeline(struct client *client, int pipeline, long range) {
    static char out[1 << 20];
    size_t len = 0;
    for (int n = 0; n < pipeline; n++) {
        len += sprintf(out + len, "*1\r\n$5\r\nMULTI\r\n");
        for (int set = 0; set < SETS; set++)
            len += sprintf(out + len, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$3\r\nxxx\r\n",
                           random() % range);
        len += sprintf(out + len, "*1\r\n$4\r\nEXEC\r\n");
    }
    for (size_t sent = 0; sent < len;) {
        ssize_t count = write(client->fd, out + sent, len - sent);
        if (count < 0)
            fail("write");
        sent += count;
    }
    client->got = 0;
}

/* Reads what is there; answers whether the pipeline is answered. */
static int take_replies(struct client *client, int pipeline) {
    static char in[1 << 16];
    ssize_t count = read(client->fd, in, sizeof in);
    if (count <= 0)
        fail("read");
    for (ssize_t at = 0; at < count; at++, client->got++)
        if (in[at] != expected[client->got % expected_len]) {
            fprintf(stderr, "an unexpected reply: %.*s\n", (int)(count - at), in + at);
            exit(1);
        }
    return client->got == expected_len * pipeline;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: multi-load HOST PORT CLIENTS REQUESTS PIPELINE RANGE\n");
        return 2;
    }
    int clients = atoi(argv[3]), pipeline = atoi(argv[5]);
    long requests = atol(argv[4]), range = atol(argv[6]);
    strcpy(expected, "+OK\r\n");
    for (int set = 0; set < SETS; set++)
        strcat(expected, "+QUEUED\r\n");
    strcat(expected, "*10\r\n");
    for (int set = 0; set < SETS; set++)
        strcat(expected, "+OK\r\n");
    expected_len = strlen(expected);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    struct client *all = calloc(clients, sizeof *all);
    int poll = epoll_create1(0), one = 1;
    for (int n = 0; n < clients; n++) {
        all[n].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[n].fd, (struct sockaddr *)&address, sizeof address) < 0)
            fail("connect");
        setsockopt(all[n].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[n]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[n].fd, &event);
    }

    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    long begun = 0, ended = 0;
    for (int n = 0; n < clients && begun < requests; n++, begun += pipeline)
        send_pipeline(&all[n], pipeline, range);
    while (ended < begun) {
        struct epoll_event events[64];
        int count = epoll_wait(poll, events, 64, -1);
        for (int n = 0; n < count; n++) {
            struct client *client = events[n].data.ptr;
            if (!take_replies(client, pipeline))
                continue;
            ended += pipeline;
            if (begun < requests) {
                send_pipeline(client, pipeline, range);
                begun += pipeline;
            }
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%.1f\n", ended / seconds);
    return 0;
}
