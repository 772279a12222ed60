//! fi_trigger.h: its inline functions.
