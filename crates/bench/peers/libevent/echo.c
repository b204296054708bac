/* An echo server on libevent: bufferevents, as its book shows them. Usage: echo --port PORT */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "listen.h"

static void received(struct bufferevent *connection, void *context)
{
    (void)context;
    /* The bytes are moved, not copied. */
    evbuffer_add_buffer(bufferevent_get_output(connection), bufferevent_get_input(connection));
}

static void ended(struct bufferevent *connection, short what, void *context)
{
    (void)context;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(connection);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
                     void *context)
{
    (void)address, (void)length, (void)context;
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection) {
        evutil_closesocket(fd);
        return;
    }
    /* By default it reads no more than 16 KiB at a time. */
    bufferevent_set_max_single_read(connection, 64 * 1024);
    bufferevent_set_max_single_write(connection, 64 * 1024);
    bufferevent_setcb(connection, received, NULL, ended, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int count, char **words)
{
    struct arguments arguments = parse(count, words);
    struct event_base *base = makes_base();
    if (!base)
        return fails("event_base_new_with_config");
    struct evconnlistener *listener = listens(base, arguments.port, accepted);
    if (!listener)
        return fails("listen");
    return event_base_dispatch(base) < 0 ? fails("event_base_dispatch") : 0;
}
