// Measures go-fil-commp-hashhash beside our CommP: for each byte count on stdin, makes the piece commitment of so many
// bytes in 64 KiB writes, and answers the commitment, the wall time and the CPU time, the last two in nanoseconds.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"syscall"
	"time"

	commp "github.com/filecoin-project/go-fil-commp-hashhash"
)

const (
	payloadBytes = 4 << 20
	writeBytes   = 64 << 10
)

// fill makes the same bytes as bench/commp.ts.
func fill() []byte {
	payload := make([]byte, payloadBytes)
	state := uint32(0x9e3779b9)
	for at := 0; at < payloadBytes; at += 4 {
		state = state*1664525 + 1013904223
		binary.LittleEndian.PutUint32(payload[at:], state)
	}
	return payload
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func run(payload []byte, total int) (string, error) {
	calc := &commp.Calc{}
	for done := 0; done < total; done += writeBytes {
		at := done % payloadBytes
		if _, err := calc.Write(payload[at : at+writeBytes]); err != nil {
			return "", err
		}
	}
	root, _, err := calc.Digest()
	return hex.EncodeToString(root), err
}

func main() {
	payload := fill()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var total int
		if _, err := fmt.Sscan(lines.Text(), &total); err != nil {
			panic(err)
		}
		start, cpu := time.Now(), cpuTime()
		root, err := run(payload, total)
		if err != nil {
			panic(err)
		}
		fmt.Println(root, time.Since(start).Nanoseconds(), (cpuTime() - cpu).Nanoseconds())
	}
}
