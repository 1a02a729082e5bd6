/* A client's connection, plain or with TLS; neither ever blocks. */
#ifndef WIRE_H
#define WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct wire {
    int socket;
    SSL *tls; /* NULL where it is plain */
};

enum { WIRE_GONE = 0, WIRE_EMPTY = -1 };

/* From now on, all connections are TLS: a chain of certificates and its key, both PEM. Ends the process if they are not. */
void wire_use_tls(const char *certificate, const char *key);

struct wire wire_of(int socket);
void wire_close(struct wire *wire);

/* Bytes that were received, WIRE_EMPTY, or WIRE_GONE. */
ssize_t wire_receive(struct wire *wire, char *buffer, size_t room);

/* The same, but the bytes are dropped: those of a plain connection by the kernel, where they lie (MSG_TRUNC). */
ssize_t wire_discard(struct wire *wire, size_t most);

/* Whether there may be more to receive that the socket does not show. */
bool wire_holds_more(const struct wire *wire);

/* False where the client did not take all of it at once. One that is gone is noticed when it is received from. */
bool wire_send(struct wire *wire, const char *text, size_t bytes);

#endif
