package interest_test

// sysOpen is none: the architecture has no such call, and the kernel says so.
const sysOpen = 1 << 20
