//! Byte sizes as Docker's users write and read them.
