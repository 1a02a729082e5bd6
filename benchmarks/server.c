/* A registry that discards what it is sent, as the other side of every measurement: it answers like the real one,
 * without a digest, and costs so little that no client ever waits for it.
 *
 * One thread, epoll, HTTP/1.1 with keep-alive and pipelining, with TLS where --tls names certificate and key. The bytes
 * of a file that comes without TLS never reach this process (see wire.h). Version ids are 1, 2, 3 ... in the order in
 * which uploads were answered.
 *
 * On 127.0.0.1 and a free port, which is the first line printed. SIGUSR1 prints what was done so far, as a line of
 * JSON; so does the end, which SIGTERM or the end of standard input brings: it never outlives who started it. */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 64 * 1024, /* holds a request's head, and of its body what is looked at */
    ANSWER_BYTES = 128 * 1024,
    EVENTS = 256,
};

enum answer { CONFIG, WORKSPACES, LISTING, NO_VERSIONS, UPLOAD, CONVERT, POLL, LOGS, GRAPHQL, UNKNOWN };

static struct route {
    const char *line; /* how the request begins */
    enum answer answer;
    uint64_t requests;
} routes[] = {
    {"GET /v1/api/config ", CONFIG, 0},
    {"POST /v1/api/workspaces/list ", WORKSPACES, 0},
    {"POST /v1/api/models/list ", LISTING, 0},
    {"POST /v1/api/models/list_versions_for_model ", NO_VERSIONS, 0},
    {"POST /v1/api/models/upload ", UPLOAD, 0},
    {"POST /v1/api/models/upload_and_convert ", CONVERT, 0},
    {"POST /v1/api/models/get_version_by_id ", POLL, 0},
    {"POST /v1/api/models/get_upload_logs ", LOGS, 0},
    {"POST /v1/graphql ", GRAPHQL, 0},
    {"", UNKNOWN, 0}, /* anything else */
};

/* What an upload said of itself, as it stands in its JSON and in its file's Content-Disposition. */
struct version {
    char *name, *file_name;
    long workspace_id;
};

enum phase { HEAD, BODY, DISCARDING, WAITING };

struct connection {
    struct wire wire;
    enum phase phase;
    struct route *route;
    struct version version; /* of an upload under way */
    uint64_t body_bytes, bytes_left;
    long id; /* of the version asked for */
    size_t begin, end; /* of what is unread in the buffer */
    uint64_t due; /* when it is answered, in nanoseconds */
    struct connection *next;
    struct connection *next_unread; /* in the list of those that hold more than their sockets show */
    bool is_unread;
    char buffer[BUFFER_BYTES];
};

static int poller;
static uint64_t delay;
static bool converting;
static char introspection[ANSWER_BYTES / 2] = "{\"errors\":[{\"message\":\"start with --introspection\"}]}";
static struct version *versions;
static long version_count, version_places;
static uint64_t uploads_begun, upload_bytes;
/* Answers that wait for their time: the delay is the same for all, so the first in is the first out. */
static struct connection *first_waiting, *last_waiting;
/* What TLS has read ahead no socket shows: these are received from before anything is waited for. */
static struct connection *first_unread;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void tell(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
        + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"uploads_begun\":%lu,\"upload_bytes\":%lu,\"cpu_seconds\":%.3f,\"requests\":{", uploads_begun,
           upload_bytes, cpu);
    for (struct route *route = routes;; route++) {
        bool last = route->answer == UNKNOWN;
        const char *path = last ? "other" : strchr(route->line, '/');
        printf("\"%.*s\":%lu%s", (int)strcspn(path, " "), path, route->requests, last ? "}}\n" : ",");
        if (last)
            break;
    }
    fflush(stdout);
}

static void close_connection(struct connection *connection) {
    wire_close(&connection->wire);
    free(connection->version.name);
    free(connection->version.file_name);
    free(connection);
}

/* Answers. */

/* The part of the buffer between `from` and the first `end` behind it, as a string of its own; NULL if not there yet. */
static char *quoted(const char *text, size_t bytes, const char *from, const char *end) {
    const char *begin = memmem(text, bytes, from, strlen(from));
    if (begin == NULL)
        return NULL;
    begin += strlen(from);
    const char *stop = memmem(begin, bytes - (size_t)(begin - text), end, strlen(end));
    return stop == NULL ? NULL : strndup(begin, (size_t)(stop - begin));
}

static long number(const char *text, size_t bytes, const char *key) {
    const char *found = memmem(text, bytes, key, strlen(key));
    if (found == NULL)
        return 0;
    found += strlen(key);
    found += strspn(found, "\": ");
    return strtol(found, NULL, 10);
}

/* Reads what stands before the file's bytes; false where that is not there yet. Names have no escapes in them: they are
 * of letters that need none. */
static bool read_form(struct connection *connection, size_t bytes) {
    const char *text = connection->buffer + connection->begin;
    char *file_name = quoted(text, bytes, "filename=\"", "\"");
    if (file_name == NULL)
        return false;
    char *name = quoted(text, bytes, "\"name\":\"", "\"");
    if (name == NULL) /* Python's json writes a space */
        name = quoted(text, bytes, "\"name\": \"", "\"");
    connection->version = (struct version){name, file_name, number(text, bytes, "\"workspace_id\"")};
    return name != NULL;
}

static long keep_version(struct connection *connection) {
    if (version_count == version_places) {
        version_places = version_places ? 2 * version_places : 1024;
        versions = realloc(versions, (size_t)version_places * sizeof *versions);
        if (versions == NULL)
            fail("realloc");
    }
    versions[version_count++] = connection->version;
    connection->version = (struct version){0};
    upload_bytes += connection->body_bytes;
    return version_count;
}

static int version_answer(char *text, size_t bytes, long id) {
    const struct version *version = &versions[id - 1];
    return snprintf(text, bytes,
        "{\"model_version\":{\"model_version\":{\"name\":\"%s\",\"visibility\":\"private\",\"workspace_id\":%ld,"
        "\"conversion\":{\"python_version\":\"3.8\",\"requirements\":[],\"framework\":\"onnx\","
        "\"framework_config\":null},\"id\":%ld,\"image_path\":null,\"status\":\"%s\",\"task_id\":null,"
        "\"file_info\":{\"version\":\"00000000-0000-4000-8000-%012ld\",\"sha\":null,\"file_name\":\"%s\","
        "\"size\":null},\"created_on_version\":\"2025.2.1\",\"created_by\":\"bench@example.com\","
        "\"created_at\":\"2026-01-06T16:34:30.953078+00:00\",\"deployed\":false,\"error_summary\":null},"
        "\"config\":{\"id\":%ld,\"model_version_id\":%ld,\"runtime\":\"onnx\",\"filter_threshold\":null,"
        "\"tensor_fields\":null,\"input_schema\":null,\"output_schema\":null,\"batch_config\":null,"
        "\"dynamic_batching_config\":null,\"continuous_batching_config\":null,\"queue_depth\":null,"
        "\"sidekick_uri\":null,\"openai\":null}}}",
        version->name, version->workspace_id, id, converting ? "attempting_load_container" : "ready", id,
        version->file_name, id, id);
}

static void send_answer(struct connection *connection, int status, const char *body, size_t bytes) {
    static char text[ANSWER_BYTES], date[64];
    static time_t dated;
    time_t second = time(NULL);
    if (second != dated)
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&second));
    dated = second;
    int head = snprintf(text, sizeof text,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %zu\r\n\r\n", status,
        status == 202 ? "Accepted" : status == 404 ? "Not Found" : "OK", date, bytes);
    memcpy(text + head, body, bytes);
    /* It fits into the socket's empty buffer. */
    if (!wire_send(&connection->wire, text, (size_t)head + bytes))
        fail("a client that does not read its answers");
}

static void answer(struct connection *connection) {
    static const char *const fixed[] = {
        [CONFIG] = "{\"default_arch\":\"x86\"}",
        [WORKSPACES] = "{\"workspaces\":[{\"id\":1,\"name\":\"bench\",\"created_at\":\"2024-07-11T16:51:50+00:00\","
                       "\"created_by\":\"bench@example.com\",\"archived\":false,\"models\":[],\"pipelines\":[]}]}",
        [LISTING] = "{\"models\":[]}",
        [NO_VERSIONS] = "{\"models\":[]}",
        [LOGS] = "{\"logs\":[]}",
        /* What the vendor's SDK asks after the schema: its user's workspace. */
        [GRAPHQL] = "{\"data\":{\"user_default_workspace\":[{\"workspace\":{\"archived\":false,"
                    "\"created_at\":\"2024-07-11T16:51:50+00:00\",\"created_by\":\"bench@example.com\","
                    "\"name\":\"bench\",\"id\":1,\"users\":[],\"pipelines\":[],\"models\":[]}}]}}",
    };
    static char text[ANSWER_BYTES / 2];
    enum answer kind = connection->route->answer;
    int status = kind == CONVERT ? 202 : 200;
    connection->route->requests++;
    if (kind == UPLOAD || kind == CONVERT)
        snprintf(text, sizeof text, "{\"insert_models\":{\"returning\":[{\"models\":[{\"id\":%ld}]}]}}",
                 keep_version(connection));
    else if (kind == POLL && 0 < connection->id && connection->id <= version_count)
        version_answer(text, sizeof text, connection->id);
    else if (kind == POLL || kind == UNKNOWN)
        snprintf(text, sizeof text, "{\"msg\":\"Not found\",\"code\":%d}", status = 404);
    else
        snprintf(text, sizeof text, "%s", kind == GRAPHQL && connection->id ? introspection : fixed[kind]);
    send_answer(connection, status, text, strlen(text));
}

/* Requests. */

static void watch(struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->wire.socket, &event) == -1)
        fail("epoll_ctl");
}

/* The whole request is here: answer it, now or when it is due. */
static void finish(struct connection *connection) {
    enum answer kind = connection->route->answer;
    connection->phase = HEAD;
    if (delay == 0 || (kind != UPLOAD && kind != CONVERT && kind != POLL)) {
        answer(connection);
        return;
    }
    connection->phase = WAITING;
    connection->due = now() + delay;
    connection->next = NULL;
    *(first_waiting ? &last_waiting->next : &first_waiting) = connection;
    last_waiting = connection;
    epoll_ctl(poller, EPOLL_CTL_DEL, connection->wire.socket, NULL);
}

/* Reads a request's head, if all of it is there; false where there is nothing to do until more comes. */
static bool take_head(struct connection *connection) {
    char *head = connection->buffer + connection->begin;
    char *end = memmem(head, connection->end - connection->begin, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    end[2] = '\0';
    connection->begin += (size_t)(end + 4 - head);
    connection->route = routes;
    while (strncmp(head, connection->route->line, strlen(connection->route->line)) != 0)
        connection->route++;
    const char *length = strcasestr(head, "\r\nContent-Length:");
    connection->body_bytes = connection->bytes_left = length ? strtoull(length + 17, NULL, 10) : 0;
    if (strcasestr(head, "\r\nExpect: 100-continue"))
        wire_send(&connection->wire, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    connection->phase = BODY;
    return true;
}

/* Looks at a request's body, if enough of it is there. */
static bool take_body(struct connection *connection) {
    size_t here = connection->end - connection->begin;
    bool whole = here >= connection->body_bytes;
    size_t bytes = whole ? (size_t)connection->body_bytes : here;
    const char *text = connection->buffer + connection->begin;
    enum answer kind = connection->route->answer;
    if (kind == UPLOAD || kind == CONVERT) {
        if (!read_form(connection, bytes)) {
            if (whole)
                connection->route = &routes[UNKNOWN]; /* no form: answered as what does not exist */
            else
                return false;
        } else {
            uploads_begun++;
        }
    } else if (!whole) {
        return false;
    } else if (kind == POLL) {
        connection->id = number(text, bytes, "\"model_version_id\"");
    } else if (kind == GRAPHQL) {
        connection->id = memmem(text, bytes, "__schema", 8) != NULL;
    }
    connection->begin += bytes;
    connection->bytes_left -= bytes;
    connection->phase = DISCARDING;
    return true;
}

/* Goes on with a connection as far as what is in its buffer allows. */
static void proceed(struct connection *connection) {
    for (bool more = true; more && connection->phase != WAITING;) {
        if (connection->phase == HEAD)
            more = connection->begin < connection->end && take_head(connection);
        else if (connection->phase == BODY)
            more = take_body(connection);
        else if ((more = connection->bytes_left == 0))
            finish(connection);
    }
    /* A delayed answer leaves the next request where it is. */
    if (connection->begin == connection->end) {
        connection->begin = connection->end = 0;
    } else if (connection->begin > 0) {
        memmove(connection->buffer, connection->buffer + connection->begin, connection->end - connection->begin);
        connection->end -= connection->begin;
        connection->begin = 0;
    }
}

static void keep_unread(struct connection *connection) {
    if (connection->is_unread || !wire_holds_more(&connection->wire))
        return;
    connection->is_unread = true;
    connection->next_unread = first_unread;
    first_unread = connection;
}

static void receive(struct connection *connection) {
    bool discarding = connection->phase == DISCARDING;
    size_t room = BUFFER_BYTES - 1 - connection->end; /* numbers are read as strings, which end */
    ssize_t bytes = discarding ? wire_discard(&connection->wire, connection->bytes_left)
                               : wire_receive(&connection->wire, connection->buffer + connection->end, room);
    if (bytes == WIRE_EMPTY)
        return;
    /* Gone; or room is 0: nothing that is sent here is so long. */
    if (bytes == WIRE_GONE) {
        close_connection(connection);
        return;
    }
    if (discarding) {
        connection->bytes_left -= (uint64_t)bytes;
    } else {
        connection->end += (size_t)bytes;
        connection->buffer[connection->end] = '\0';
    }
    proceed(connection);
    if (connection->phase != WAITING)
        keep_unread(connection);
}

static void receive_unread(void) {
    struct connection *connection = first_unread;
    first_unread = NULL;
    while (connection) {
        struct connection *next = connection->next_unread;
        connection->is_unread = false;
        receive(connection);
        connection = next;
    }
}

static void answer_what_is_due(void) {
    while (first_waiting && first_waiting->due <= now()) {
        struct connection *connection = first_waiting;
        first_waiting = connection->next;
        connection->phase = HEAD;
        answer(connection);
        watch(connection);
        proceed(connection);
        if (connection->phase != WAITING)
            keep_unread(connection);
    }
}

static void accept_all(int listener) {
    int socket, yes = 1, room = 2 * ANSWER_BYTES;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL)
            fail("calloc");
        connection->wire = wire_of(socket);
        watch(connection);
    }
}

/* Start and end. */

static int listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener == -1 || bind(listener, (struct sockaddr *)&address, bytes) == -1 || listen(listener, 4096) == -1
        || getsockname(listener, (struct sockaddr *)&address, &bytes) == -1)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static int receive_signals(void) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN); /* TLS writes to a socket as to any file */
    signal(SIGINT, SIG_IGN); /* the terminal's Ctrl-C is for who started it */
    return signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* True when it is to end. */
static bool obey(int signals) {
    struct signalfd_siginfo signal;
    bool end = false;
    while (read(signals, &signal, sizeof signal) == sizeof signal) {
        end = end || signal.ssi_signo == SIGTERM;
        if (signal.ssi_signo == SIGUSR1)
            tell();
    }
    return end;
}

static void read_options(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--converting") == 0) {
            converting = true;
        } else if (strcmp(words[i], "--delay-ms") == 0) {
            delay = strtoull(value, NULL, 10) * 1000000u;
            i++;
        } else if (strcmp(words[i], "--tls") == 0 && i + 2 < count) {
            wire_use_tls(value, words[i + 2]);
            i += 2;
        } else if (strcmp(words[i], "--introspection") == 0) {
            FILE *file = fopen(value, "r");
            if (file == NULL)
                fail(value);
            introspection[fread(introspection, 1, sizeof introspection - 1, file)] = '\0';
            fclose(file);
            i++;
        } else {
            fprintf(stderr, "usage: %s [--tls CERTIFICATE KEY] [--delay-ms N] [--converting] [--introspection FILE]\n", words[0]);
            exit(2);
        }
    }
}

static void watch_source(int source, void *mark) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    /* Standard input may be a file or /dev/null, which cannot be waited for: then it has no end. */
    if (epoll_ctl(poller, EPOLL_CTL_ADD, source, &event) == -1 && errno != EPERM)
        fail("epoll_ctl");
}

int main(int count, char **words) {
    static char a_signal, a_client, the_end;
    struct epoll_event events[EVENTS];
    read_options(count, words);
    int signals = receive_signals(), listener = listen_somewhere();
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch_source(signals, &a_signal);
    watch_source(listener, &a_client);
    watch_source(STDIN_FILENO, &the_end);
    for (bool end = false; !end;) {
        int milliseconds = -1;
        if (first_unread) {
            milliseconds = 0;
        } else if (first_waiting) {
            uint64_t time = now();
            milliseconds = first_waiting->due > time ? (int)((first_waiting->due - time + 999999) / 1000000) : 0;
        }
        int ready = epoll_wait(poller, events, EVENTS, milliseconds);
        for (int i = 0; i < ready; i++) {
            void *mark = events[i].data.ptr;
            if (mark == &a_signal)
                end = obey(signals) || end;
            else if (mark == &a_client)
                accept_all(listener);
            else if (mark == &the_end)
                end = true;
            else if (!((struct connection *)mark)->is_unread)
                receive(mark);
        }
        receive_unread();
        answer_what_is_due();
    }
    tell();
    return 0;
}
