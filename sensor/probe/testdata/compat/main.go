// Command compat is a 32-bit program for a test: it makes calls that are numbered and laid
// out in another way than those of 64-bit programs.
package main

import (
	"syscall"
	"unsafe"
)

const sysSocketcall = 102

func socketcall(number uintptr, args ...uintptr) uintptr {
	var a [6]uintptr
	copy(a[:], args)
	result, _, _ := syscall.RawSyscall(sysSocketcall, number, uintptr(unsafe.Pointer(&a)), 0)
	return result
}

func main() {
	file := []byte("thirty-two\x00")
	_, _, _ = syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&file[0])),
		syscall.O_CREAT|syscall.O_WRONLY, 0o600, 0, 0)
	_, _, _ = syscall.RawSyscall(syscall.SYS_OPEN, uintptr(unsafe.Pointer(&file[0])), 0, 0)

	// socket, connect and sendmsg, by the old way in.
	s := socketcall(1, syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	to := syscall.RawSockaddrInet4{Family: syscall.AF_INET, Port: 0x0900, Addr: [4]byte{127, 0, 0, 1}}
	socketcall(3, s, uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	data := []byte("from 32 bits")
	buffer := syscall.Iovec{Base: &data[0], Len: uint32(len(data))}
	message := syscall.Msghdr{
		Name: (*byte)(unsafe.Pointer(&to)), Namelen: uint32(unsafe.Sizeof(to)),
		Iov: &buffer, Iovlen: 1,
	}
	socketcall(16, s, uintptr(unsafe.Pointer(&message)), 0)

	path, argument := []byte("nothing-here\x00"), []byte("argument\x00")
	argv := [2]*byte{&argument[0]}
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&argv)), 0)
}
