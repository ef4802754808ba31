package reference

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Markdown writes a section for a command and each below it.
func Markdown(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	for _, p := range pages(root) {
		p.markdown(&b, strings.Count(p.path, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p page) markdown(b *strings.Builder, depth int) {
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n\n", strings.Repeat("#", min(2+depth, 4)), p.path, p.short)
	fmt.Fprintf(b, "    %s\n", p.synopsis)
	if p.long != "" {
		fmt.Fprintf(b, "\n%s\n", markdownText(p.long))
	}
	if len(p.below) > 0 {
		b.WriteString("\nIts commands:")
		for i, path := range p.below {
			fmt.Fprintf(b, "%s [%s](#%s)", []string{"", ","}[min(i, 1)], path[strings.LastIndexByte(path, ' ')+1:], strings.ReplaceAll(path, " ", "-"))
		}
		b.WriteString(".\n")
	}
	if p.example != "" {
		fmt.Fprintf(b, "\n```console\n%s\n```\n", p.example)
	}
	Table(b, "flag", "--", p.flags)
}

// Table writes flags as a table of Markdown, each name after a prefix.
func Table(b *strings.Builder, head, prefix string, flags []Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s | value | default | meaning |\n|---|---|---|---|\n", head)
	for _, f := range flags {
		name := "`" + prefix + f.Name + "`"
		if f.Short != "" && prefix != "" {
			name = "`-" + f.Short + "`, " + name
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, cell(f.Unit), cell(f.Default), cell(f.Meaning))
	}
}

// cell is text that breaks no table and is no HTML.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ", "*", `\*`).Replace(text)
}

// markdownText is a long text as a paragraph.
func markdownText(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(text)
}
