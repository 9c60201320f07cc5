// Judges notes with golang.org/x/mod/sumdb/note, and cosignatures with a Verifier of its own.
//
// Arguments: verifier keys, types 01 and 04. Standard input: notes, each behind a line with its length in bytes. Output:
// of each a line, "ok" with the names of the keys whose signatures hold and the number of other lines, or "no".
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// witness verifies cosignature/v1 (c2sp.org/tlog-cosignature).
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }

func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(w.key, []byte(signed), sig[8:])
}

func verifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q has no three parts", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return note.NewVerifier(vkey)
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	return witness{parts[0], uint32(hash), key[1:]}, nil
}

func main() {
	var known []note.Verifier
	for _, vkey := range os.Args[1:] {
		one, err := verifier(vkey)
		if err != nil {
			fmt.Fprintln(os.Stderr, vkey, err)
			os.Exit(2)
		}
		known = append(known, one)
	}
	in := bufio.NewReader(os.Stdin)
	for {
		length, err := in.ReadString('\n')
		if err == io.EOF {
			return
		}
		size, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		opened, err := note.Open(data, note.VerifierList(known...))
		if err != nil {
			fmt.Println("no")
			continue
		}
		fmt.Print("ok")
		for _, sig := range opened.Sigs {
			fmt.Print(" ", sig.Name)
		}
		fmt.Println(" +", len(opened.UnverifiedSigs))
	}
}
