"""Taking the person out of an object, and noticing what may name one."""
