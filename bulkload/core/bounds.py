"""Bounds on everything that is read from outside: one table, held against docs/guarantees.md by a test.

Whoever reads a stream, a file, an answer or the output of a program takes its bound from here. What is beyond it is
cut where it is only shown, and refused with words where it counts.
"""

# Manifests.
LONGEST_LINE_BYTES = 4 << 20
LONGEST_CELL_CHARACTERS = 4 << 20
# JSON, YAML and TOML are read whole, at many times their size.
LARGEST_DOCUMENT_BYTES = 16 << 20
MOST_LABELS = 64
LONGEST_LABEL_CHARACTERS = 1 << 10

# JSON of any origin: answers, manifests, files.
DEEPEST_JSON = 64
# One version of a listing.
LARGEST_ITEM_BYTES = 1 << 20
# A text in an answer, such as an error summary, that is kept or shown.
LONGEST_TEXT_CHARACTERS = 8 << 10
# Words of others inside one of our messages.
LONGEST_MESSAGE_CHARACTERS = 500
MOST_LOG_LINES = 200

# Answers of a registry, of Keycloak, and of whoever stands before them.
LARGEST_ANSWER_BYTES = 64 << 20
# An error answer, or one of Keycloak's.
LARGEST_SMALL_ANSWER_BYTES = 64 << 10
LARGEST_HEAD_BYTES = 64 << 10
MOST_HEAD_LINES = 500

# A settings file.
LARGEST_SETTINGS_BYTES = 1 << 20

# Files and programs that give a secret.
LARGEST_SECRET_BYTES = 64 << 10
SECRET_COMMAND_SECONDS = 60.0
