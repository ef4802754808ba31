// Package reference writes what the commands say of themselves, so that no page is
// kept by hand beside them: Markdown for docs/cli.md, and man pages. It reads a
// cobra.Command and the commands below it.
//
// A flag's unit is the word that its usage has in backquotes, as pflag prints it in
// --help; its default is what the usage says in "(default: …)", else pflag's own.
package reference
