package probe

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -cflags "-O2 -mcpu=v2 -Wall -Werror" -no-global-types -type section_tag -type section_flag -type section -type header_flag -type header -type file_info -type socket_info -type exec_flag -type exec_info -type facts -type child -type syscall_flag -type syscall -type group -type open_class -type worth -type protocol -type value -type clauses -type config -type interest -type verdict -type telling -type counters bpf bpf/probe.c
