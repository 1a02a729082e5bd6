"""What bulkload costs beside the wire, against peers that do the same work: see README.md, beside this file."""
