// Command tlog_vectors writes ../../vectors/tlog-go.json: what Go's golang.org/x/mod/sumdb/{tlog,note} computes, for
// the Rust tests to agree with. The output is the same on every run.
//
// With Debian's packages golang-go and golang-golang-x-mod-dev, in this directory:
//
//	GO111MODULE=off GOPATH=$(dpkg -L golang-golang-x-mod-dev | sed -n 's,/src/golang.org/x/mod$,,p') \
//	    go run tlog_vectors.go > ../../vectors/tlog-go.json
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const size = 70000 // the example of C2SP tlog-tiles: three levels, all of them partial

type root struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

type inclusion struct {
	Index int64            `json:"index"`
	Size  int64            `json:"size"`
	Proof tlog.RecordProof `json:"proof"`
}

type consistency struct {
	Old   int64          `json:"old"`
	New   int64          `json:"new"`
	Proof tlog.TreeProof `json:"proof"`
}

type tile struct {
	Path   string `json:"path"`
	Sha256 string `json:"sha256"`
}

type growth struct {
	Old   int64    `json:"old"`
	New   int64    `json:"new"`
	Tiles []string `json:"tiles"`
}

type key struct {
	Name string `json:"name"`
	Seed string `json:"seed"`
	Vkey string `json:"vkey"`
}

type signed struct {
	Text    string `json:"text"`
	Signers []int  `json:"signers"`
	Note    string `json:"note"`
}

type refused struct {
	Name string `json:"name"`
	Note []byte `json:"note"`
}

type vectors struct {
	Comment     []string      `json:"_comment"`
	Roots       []root        `json:"roots"`
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
	Tiles       []tile        `json:"tiles"`
	Growth      []growth      `json:"growth"`
	Keys        []key         `json:"keys"`
	Notes       []signed      `json:"notes"`
	Refused     []refused     `json:"refused"`
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// path drops the tile height, which sumdb spells out and C2SP fixes at 8.
func path(t tlog.Tile) string { return strings.Replace(t.Path(), "tile/8/", "tile/", 1) }

// newTiles is tlog.NewTiles without what sumdb lists beyond the tiles that have changed: every narrower width of a
// partial tile, and partial tiles as wide as before.
func newTiles(old, new int64) []tlog.Tile {
	var tiles []tlog.Tile
	for _, t := range tlog.NewTiles(8, old, new) {
		if old>>(8*t.L) == new>>(8*t.L) {
			continue
		}
		if n := len(tiles); n > 0 && tiles[n-1].L == t.L && tiles[n-1].N == t.N {
			tiles = tiles[:n-1]
		}
		tiles = append(tiles, t)
	}
	return tiles
}

func main() {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i := int64(0); i < size; i++ {
		hashes, err := tlog.StoredHashes(i, []byte(fmt.Sprintf("entry %d", i)), reader)
		must(err)
		stored = append(stored, hashes...)
	}

	v := vectors{Comment: []string{
		"Made by tests/oracle/go/tlog_vectors.go with Go's golang.org/x/mod/sumdb/{tlog,note}; do not edit.",
		"Entry i is the text 'entry <i>'. Hashes are base64. tiles: SHA-256 of every tile of the largest tree.",
		"refused: notes (base64) that Go's note.Open refuses when it knows keys[0].",
	}}

	var sizes []int64
	for n := int64(1); n <= 66; n++ {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 32768, 65535, 65536, 65537, 65792, size)
	for _, n := range sizes {
		h, err := tlog.TreeHash(n, reader)
		must(err)
		v.Roots = append(v.Roots, root{n, h})
	}

	for _, n := range []int64{1, 2, 3, 5, 7, 8, 13, 64, 100, 255, 256, 257, 513, 65536, 65537, size} {
		seen := map[int64]bool{}
		for _, i := range []int64{0, 1, n / 3, n / 2, n - 2, n - 1} {
			if i < 0 || i >= n || seen[i] {
				continue
			}
			seen[i] = true
			p, err := tlog.ProveRecord(n, i, reader)
			must(err)
			v.Inclusion = append(v.Inclusion, inclusion{i, n, p})
		}
		seen = map[int64]bool{}
		for _, m := range []int64{1, 2, n / 3, n / 2, 256, n - 1, n} {
			if m < 1 || m > n || seen[m] {
				continue
			}
			seen[m] = true
			p, err := tlog.ProveTree(n, m, reader)
			must(err)
			v.Consistency = append(v.Consistency, consistency{m, n, p})
		}
	}

	for _, t := range newTiles(0, size) {
		data, err := tlog.ReadTileData(t, reader)
		must(err)
		sum := sha256.Sum256(data)
		v.Tiles = append(v.Tiles, tile{path(t), hex.EncodeToString(sum[:])})
	}
	for _, g := range [][2]int64{
		{0, 1}, {1, 2}, {5, 5}, {255, 256}, {256, 257}, {255, 513}, {300, 600}, {65535, 65536}, {65535, 65537},
		{69000, 70000}, {16777215, 16777217}, {1<<40 - 1, 1<<40 + 1}, {1<<62 - 1, 1<<62 + 300},
		{1<<63 - 300, 1<<63 - 1},
	} {
		paths := []string{}
		for _, t := range newTiles(g[0], g[1]) {
			paths = append(paths, path(t))
		}
		v.Growth = append(v.Growth, growth{g[0], g[1], paths})
	}

	var signers []note.Signer
	var verifiers []note.Verifier
	for i, name := range []string{"example.com/log", "журнал.пример/77", "go.sum database tree"[:6]} {
		seed := sha256.Sum256([]byte{byte(i)})
		skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
		must(err)
		s, err := note.NewSigner(skey)
		must(err)
		k, err := note.NewVerifier(vkey)
		must(err)
		signers, verifiers = append(signers, s), append(verifiers, k)
		v.Keys = append(v.Keys, key{name, hex.EncodeToString(seed[:]), vkey})
	}

	tree, err := tlog.TreeHash(size, reader)
	must(err)
	for _, n := range []signed{
		{Text: "one line\n", Signers: []int{0}},
		{Text: "\n", Signers: []int{1}},
		{Text: "дом № 1\n\nпустая строка выше\n", Signers: []int{0, 1}},
		{Text: "ends in empty lines\n\n\n", Signers: []int{2, 0}},
		{Text: "— looks like a signature\n— example.com/log AAAAAAAA\n", Signers: []int{0}},
		{Text: "delete \u007f and next line \u0085 are allowed\n", Signers: []int{0}},
		{Text: strings.Repeat("0123456789abcde\n", 64), Signers: []int{0}},
		{Text: string(tlog.FormatTree(tlog.Tree{N: size, Hash: tree})), Signers: []int{0, 1, 2}},
	} {
		var with []note.Signer
		for _, i := range n.Signers {
			with = append(with, signers[i])
		}
		msg, err := note.Sign(&note.Note{Text: n.Text}, with...)
		must(err)
		_, err = note.Open(msg, note.VerifierList(verifiers...))
		must(err)
		n.Note = string(msg)
		v.Notes = append(v.Notes, n)
	}

	good := v.Notes[0].Note
	line := good[strings.Index(good, "—"):]
	other := v.Notes[1].Note
	bad := func(name, msg string) {
		if _, err := note.Open([]byte(msg), note.VerifierList(verifiers[0])); err == nil {
			log.Fatalf("%s was not refused", name)
		}
		v.Refused = append(v.Refused, refused{name, []byte(msg)})
	}
	bad("empty", "")
	bad("text only", "one line\n")
	bad("no signature line", "one line\n\n")
	bad("no empty line", "one line\n"+line)
	bad("no final newline", strings.TrimSuffix(good, "\n"))
	bad("carriage return", strings.Replace(good, "\n", "\r\n", -1))
	bad("tab in text", strings.Replace(good, "one line", "one\tline", 1))
	bad("nul in text", strings.Replace(good, "one line", "one\x00line", 1))
	bad("not UTF-8", strings.Replace(good, "one line", "one\xffline", 1))
	bad("surrogate", strings.Replace(good, "one line", "one\xed\xa0\x80line", 1))
	bad("hyphen for dash", strings.Replace(good, "—", "-", 1))
	bad("no space after dash", strings.Replace(good, "— ", "—", 1))
	bad("two spaces before signature", strings.Replace(good, "log ", "log  ", 1))
	bad("space after signature", strings.TrimSuffix(good, "\n")+" \n")
	bad("plus in name", strings.Replace(good, "example.com/log", "example+com/log", 1))
	bad("no-break space in name", strings.Replace(good, "example.com/log", "example\u00a0com/log", 1))
	bad("next-line character in name", strings.Replace(good, "example.com/log", "example\u0085com/log", 1))
	bad("empty name", strings.Replace(good, "example.com/log", "", 1))
	bad("no signature in line", "one line\n\n— example.com/log\n")
	bad("no padding", strings.TrimRight(strings.TrimSuffix(good, "\n"), "=")+"\n")
	bad("key id only", "one line\n\n— example.com/log "+base64.StdEncoding.EncodeToString([]byte{1, 2, 3, 4})+"\n")
	bad("other text", strings.Replace(good, "one line", "two line", 1))
	bad("other name", strings.Replace(good, "example.com/log", "example.com/loh", 1))
	bad("only a stranger's signature", other)
	bad("line after signatures", good+"x\n")
	bad("empty line after signatures", good+"\n")

	out, err := json.Marshal(v)
	must(err)
	// One vector a line, so that a change shows as a small difference.
	text := strings.NewReplacer(`},{`, "},\n{", `":[`, "\":[\n").Replace(string(out))
	fmt.Fprintln(os.Stdout, text)
}
