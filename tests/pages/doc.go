// Package pages follows pages of the documentation to the letter: it copies the repository, does what a page says, and
// checks that what the page promises comes true. A page that has become wrong fails here.
//
// What it understands of a page are its code blocks. The word after the language names a file: a block of code creates
// that file, a diff changes it. A block marked sh is run, line after line; a block marked text after it is what it prints.
package pages
