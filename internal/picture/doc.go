// Package picture draws sampled images into one PNG that people can look at.
package picture
