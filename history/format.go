package history

import (
	"bytes"
	"fmt"
	"strings"
)

// Form is the format of a history file.
type Form string

// The forms. AnyForm is whatever the file looks like.
const (
	AnyForm  Form = ""
	OwnForm  Form = "ordeal"
	JSONForm Form = "json"
	EDNForm  Form = "edn"
	// LogForm is what Jepsen prints while a test runs.
	LogForm Form = "jepsen-log"
	// The sessions of transactional checkers, which know no time.
	PlumeForm    Form = "plume"
	SessionsForm Form = "sessions"
	DBCopForm    Form = "dbcop"
)

// form says how a form looks and is read.
type form struct {
	name Form
	doc  string
	// looks reports whether a file that begins like this is probably in the form. The
	// first one that says so wins.
	looks func(start []byte) bool
	read  func(*feeder, *joiner) error
}

func forms() []form {
	return []form{
		{OwnForm, "this program's JSON lines", ownForm, readOwn},
		{DBCopForm, "dbcop's JSON, bincode or text: sessions of transactions", dbcopForm, readDBCop},
		{PlumeForm, "Plume's text, w(key,value,session,transaction)", plumeForm, readPlume},
		{SessionsForm, "AWDIT's text, sessions of \"w key value\"", sessionsForm, readSessions},
		{LogForm, "log of a Jepsen test, as those of Porcupine's tests", logForm, readLog},
		{JSONForm, "JSON of elle-cli: objects with Jepsen's field names", jsonForm, readJSONOps},
		{EDNForm, "EDN of Jepsen, Knossos, Elle, and of Porcupine's key-value tests", ednForm, readEDN},
	}
}

// Forms returns the forms that can be read, each with a description.
func Forms() (names []Form, docs []string) {
	for _, f := range forms() {
		names, docs = append(names, f.name), append(docs, f.doc)
	}
	return names, docs
}

// ParseForm returns the form with this name. The error lists those there are.
func ParseForm(name string) (Form, error) {
	names, _ := Forms()
	var words []string
	for _, f := range names {
		if string(f) == name {
			return f, nil
		}
		words = append(words, string(f))
	}
	return AnyForm, fmt.Errorf("format %q is not known: want one of %s", name,
		strings.Join(words, ", "))
}

// detect returns the form that the start of a file looks like. What looks like none
// of them is read as EDN, whose errors then say what is there.
func detect(start []byte) Form {
	for _, f := range forms() {
		if f.looks(start) {
			return f.name
		}
	}
	return EDNForm
}

// ednForm reports whether a file begins like EDN.
func ednForm(start []byte) bool { return bytes.ContainsRune([]byte("{[(#;^"), rune(start[0])) }
