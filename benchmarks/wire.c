#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PLAIN_AT_ONCE = 16 * 1024 * 1024,
    TLS_AT_ONCE = 1024 * 1024,        /* so that one client does not keep all others waiting */
    TLS_READ_BYTES = 256 * 1024,      /* of the socket, in one call */
    RECORD_BYTES = 16 * 1024,
};

static SSL_CTX *context;

static void fail_tls(const char *what) {
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

void wire_use_tls(const char *certificate, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1
        || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        fail_tls(certificate);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, TLS_READ_BYTES);
}

struct wire wire_of(int socket) {
    struct wire wire = {socket, NULL};
    if (context != NULL) {
        wire.tls = SSL_new(context);
        if (wire.tls == NULL || SSL_set_fd(wire.tls, socket) != 1)
            fail_tls("a connection");
        SSL_set_accept_state(wire.tls);
    }
    return wire;
}

void wire_close(struct wire *wire) {
    SSL_free(wire->tls);
    close(wire->socket);
}

static ssize_t judged(ssize_t bytes) {
    return bytes == -1 && errno != EAGAIN ? WIRE_GONE : bytes;
}

static ssize_t read_tls(struct wire *wire, char *buffer, size_t room) {
    size_t bytes;
    ERR_clear_error();
    int good = SSL_read_ex(wire->tls, buffer, room, &bytes);
    if (good)
        return (ssize_t)bytes;
    int error = SSL_get_error(wire->tls, good);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WIRE_EMPTY : WIRE_GONE;
}

ssize_t wire_receive(struct wire *wire, char *buffer, size_t room) {
    return wire->tls ? read_tls(wire, buffer, room) : judged(recv(wire->socket, buffer, room, 0));
}

ssize_t wire_discard(struct wire *wire, size_t most) {
    static char dropped[RECORD_BYTES];
    if (wire->tls == NULL)
        return judged(recv(wire->socket, dropped, most < PLAIN_AT_ONCE ? most : PLAIN_AT_ONCE, MSG_TRUNC));
    size_t taken = 0;
    while (taken < most && taken < TLS_AT_ONCE) {
        ssize_t bytes = read_tls(wire, dropped, most - taken < sizeof dropped ? most - taken : sizeof dropped);
        if (bytes <= 0)
            return taken ? (ssize_t)taken : bytes;
        taken += (size_t)bytes;
    }
    return (ssize_t)taken;
}

bool wire_holds_more(const struct wire *wire) {
    return wire->tls != NULL && SSL_has_pending(wire->tls);
}

bool wire_send(struct wire *wire, const char *text, size_t bytes) {
    if (wire->tls == NULL) {
        ssize_t sent = send(wire->socket, text, bytes, MSG_NOSIGNAL);
        return sent == -1 ? errno != EAGAIN : (size_t)sent == bytes;
    }
    ERR_clear_error();
    int sent = SSL_write(wire->tls, text, (int)bytes);
    return sent > 0 || SSL_get_error(wire->tls, sent) != SSL_ERROR_WANT_WRITE;
}
