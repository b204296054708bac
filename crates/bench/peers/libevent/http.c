/* An HTTP server on libevent's evhttp. Usage: http --port PORT --files DIRECTORY */
#include <fcntl.h>
#include <stdio.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "listen.h"

static const char text[] = "hello, network programming";

static void answers_text(struct evhttp_request *request, void *context)
{
    (void)context;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain");
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_reference(body, text, sizeof text - 1, NULL, NULL);
    evhttp_send_reply(request, HTTP_OK, "OK", body);
    evbuffer_free(body);
}

/* The file is opened once; libevent sends it with sendfile(2). */
static void answers_file(struct evhttp_request *request, void *context)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/octet-stream");
    struct evbuffer *body = evbuffer_new();
    evbuffer_set_flags(body, EVBUFFER_FLAG_DRAINS_TO_FD);
    evbuffer_add_file_segment(body, context, 0, -1);
    evhttp_send_reply(request, HTTP_OK, "OK", body);
    evbuffer_free(body);
}

int main(int count, char **words)
{
    struct arguments arguments = parse(count, words);
    struct event_base *base = makes_base();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    if (!http)
        return fails("evhttp_new");
    /* Some connections are to be idle for longer than the 50 seconds that it gives them by default. */
    evhttp_set_timeout(http, 3600);
    evhttp_set_cb(http, "/", answers_text, NULL);
    if (arguments.files) {
        char path[4096];
        snprintf(path, sizeof path, "%s/100k", arguments.files);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return fails(path);
        struct evbuffer_file_segment *file = evbuffer_file_segment_new(fd, 0, -1, EVBUF_FS_CLOSE_ON_FREE);
        if (!file)
            return fails("evbuffer_file_segment_new");
        evhttp_set_cb(http, "/100k", answers_file, file);
    }
    struct evconnlistener *listener = listens(base, arguments.port, NULL);
    if (!listener || !evhttp_bind_listener(http, listener))
        return fails("listen");
    return event_base_dispatch(base) < 0 ? fails("event_base_dispatch") : 0;
}
