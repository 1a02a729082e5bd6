"""Bounds on everything that is read from outside: one table, held against docs/guarantees.md by a test.

Whoever reads a stream, a file, an answer or the output of a program takes its bound from here. What is beyond it is
cut where it is only shown, and refused with words where it counts.
"""

# Manifests.
LONGEST_LINE_BYTES = 4 << 20
LONGEST_CELL_CHARACTERS = 4 << 20
# JSON, YAML and TOML are read whole, at many times their size.
LARGEST_DOCUMENT_BYTES = 16 << 20
# Values of one entry, lists and objects included.
MOST_VALUES = 250_000
# TOML is built whole, each value at a hundred times its size.
MOST_TOML_VALUES = 250_000
# Entries of {name: {...}}; a list may have any number.
MOST_NAMED_ENTRIES = 100_000
MOST_COLUMNS = 1_000
# Arrow and Parquet: what is small in the file may be large in memory.
LARGEST_BATCH_BYTES = 64 << 20
LARGEST_FOOTER_BYTES = 1 << 20
MOST_NESTED_VALUES = 8_000_000
# A schema of a model or a manifest, as it is built.
LARGEST_SCHEMA_BYTES = 32 << 20
MOST_LABELS = 64
LONGEST_LABEL_CHARACTERS = 1 << 10

# Of a model's file the check reads its beginning, and of a zip its end.
FILE_HEAD_BYTES = 64 << 10
FILE_END_BYTES = 64 << 10
# Files and folders in a folder that is sent as a zip.
MOST_FOLDER_MEMBERS = 100_000
# An ONNX model is walked so far for weights that lie elsewhere: tenths of a second at the most.
MOST_MODEL_FIELDS = 20_000

# JSON of any origin: answers, manifests, files.
DEEPEST_JSON = 64
# A number; the longest that a float needs has 309 digits.
LONGEST_NUMBER_CHARACTERS = 400
# One version of a listing.
LARGEST_ITEM_BYTES = 1 << 20
# A text in an answer, such as an error summary, that is kept or shown.
LONGEST_TEXT_CHARACTERS = 8 << 10
# Words of others inside one of our messages.
LONGEST_MESSAGE_CHARACTERS = 500
MOST_LOG_LINES = 200

# Answers of a registry, of Keycloak, and of whoever stands before them.
LARGEST_ANSWER_BYTES = 16 << 20
# Each costs up to 200 bytes of memory, whatever its length.
MOST_ANSWER_VALUES = 500_000
# A call that reads, from its beginning to the end of its answer. For an upload, and for a listing, see below.
ANSWER_SECONDS = 60.0
# A workspace, listed whole: as it is parsed while it arrives, it may be large and take long, but not for ever.
LARGEST_LISTING_BYTES = 4 << 30
LISTING_SECONDS = 3600.0
# After its first minute.
SLOWEST_LISTING_BYTES_PER_SECOND = 16 << 10
# An error answer is read so far.
ERROR_ANSWER_SECONDS = 10.0
# A login.
KEYCLOAK_SECONDS = 10.0
# An error answer, or one of Keycloak's.
LARGEST_SMALL_ANSWER_BYTES = 64 << 10
LARGEST_HEAD_BYTES = 64 << 10
MOST_HEAD_LINES = 500
# "100 Continue" and the like, before the answer itself.
MOST_INTERIM_ANSWERS = 100

# A settings file.
LARGEST_SETTINGS_BYTES = 1 << 20

# Files and programs that give a secret.
LARGEST_SECRET_BYTES = 64 << 10
SECRET_COMMAND_SECONDS = 60.0

# Requests to the sandbox. Headers: aiohttp's own bounds (8,190 bytes a line, 128 lines).
LARGEST_REQUEST_BYTES = 4 << 20
LARGEST_METADATA_BYTES = 4 << 20
LARGEST_FORM_BYTES = 64 << 10
# Each costs up to 240 bytes of memory, whatever its length.
MOST_JSON_VALUES = 200_000
MOST_FORM_PARTS = 16
LARGEST_PART_HEAD_BYTES = 64 << 10
# What is no part of a form that counts: before its first boundary, after its last one, parts that nobody asked for.
LARGEST_FORM_WASTE_BYTES = 64 << 10
# Until the head of a request is there, on a connection that is new or idle.
REQUEST_HEAD_SECONDS = 60.0
# For the whole body of a request, but for an upload's.
REQUEST_BODY_SECONDS = 30.0
# Without a byte of an upload, or of an answer taken by its reader.
REQUEST_PAUSE_SECONDS = 60.0
MOST_GRAPHQL_TOKENS = 4000
DEEPEST_GRAPHQL = 20
# With aliases, fragments written out where they are used.
MOST_GRAPHQL_FIELDS = 600
# Of rows and of the schema, and conditions that rows are held against.
MOST_GRAPHQL_VALUES = 200_000
GRAPHQL_SECONDS = 5.0
MOST_DEVICE_LOGINS = 1000
LONGEST_LOGGED_CHARACTERS = 1 << 10
