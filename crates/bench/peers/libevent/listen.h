/* What the two servers have in common: the command line, the listening socket, the first line. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <event2/listener.h>

struct arguments {
    unsigned short port;
    const char *files;
};

static int fails(const char *what)
{
    fprintf(stderr, "Error: %s: %s\n", what, strerror(errno));
    return 1;
}

static struct arguments parse(int count, char **words)
{
    struct arguments arguments = {0, NULL};
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        char *end;
        unsigned long port = strtoul(value, &end, 10);
        if (!strcmp(words[i], "--port") && *value && !*end && port <= 65535) {
            arguments.port = port;
        } else if (!strcmp(words[i], "--files") && *value) {
            arguments.files = value;
        } else {
            fprintf(stderr, "Usage: --port PORT [--files DIRECTORY]\n");
            exit(2);
        }
    }
    return arguments;
}

/* With one thread nothing is to be locked, and no descriptor is duplicated here, so changes may be gathered: event_config_set_flag. */
static struct event_base *makes_base(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* Connections inherit TCP_NODELAY from the socket that listens, tcp(7). */
static struct evconnlistener *listens(struct event_base *base, unsigned short port, evconnlistener_cb accepted)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, accepted, NULL, flags, 4096, (struct sockaddr *)&address, sizeof address);
    if (!listener)
        return NULL;
    int fd = evconnlistener_get_fd(listener), yes = 1;
    socklen_t length = sizeof address;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}
