"""Reading by clinicians: worklist, blind-first readings, visits of a lesion, signed reports."""
