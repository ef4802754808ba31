package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
)

const (
	idLength     = 6
	secretLength = 26
)

// ErrMalformed is a string that is no token. It never tells the string, which may
// be a secret that was mistyped.
var ErrMalformed = errors.New("it is not a token, ID.SECRET: 6 and 26 small letters and digits with a dot between them")

// Token is an id with its secret. Printing one shows the id alone.
type Token struct{ id, secret string }

// New draws a token.
func New() Token { return Token{draw()[:idLength], draw()[:secretLength]} }

// NewFor draws the secret of a token whose id is given.
func NewFor(id string) Token {
	if !ValidID(id) {
		panic("token: not an id: " + id)
	}
	return Token{id, draw()[:secretLength]}
}

// draw gives 130 random bits in base 32.
func draw() string { return strings.ToLower(rand.Text()) }

// Parse reads ID.SECRET.
func Parse(s string) (Token, error) {
	if len(s) != idLength+1+secretLength || s[idLength] != '.' {
		return Token{}, ErrMalformed
	}
	t := Token{s[:idLength], s[idLength+1:]}
	if !plain(t.id) || !plain(t.secret) {
		return Token{}, ErrMalformed
	}
	return t, nil
}

// ValidID says whether a string can be a token's id.
func ValidID(s string) bool { return len(s) == idLength && plain(s) }

func plain(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ID names the token.
func (t Token) ID() string { return t.id }

// Reveal gives ID.SECRET.
func (t Token) Reveal() string { return t.id + "." + t.secret }

// String hides the secret.
func (t Token) String() string { return t.id + ".…" }

// GoString hides the secret.
func (t Token) GoString() string { return t.String() }

// Hash is what may be kept of a token: SHA-256 of all of it, in hex. A slow hash
// with salt protects secrets that people choose; 130 random bits are beyond
// guessing at any speed.
func (t Token) Hash() string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:])
}

// Is says, in a time that tells nothing, whether a hash is this token's.
func (t Token) Is(hash string) bool {
	return subtle.ConstantTimeCompare([]byte(t.Hash()), []byte(hash)) == 1
}
