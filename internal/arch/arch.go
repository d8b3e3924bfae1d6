// Package arch holds the conventions of the repository as tests: who may
// import whom and why, what every package documents, how long files and
// functions get, and that the metric surface, its page in docs and the
// contract with the rules are the same. Nothing imports it.
package arch
