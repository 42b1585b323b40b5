// Package web is what runs in the reader's browser: the charts, the timeline of all
// operations and the logs of report.html. It is written in TypeScript (src), draws
// its charts with uPlot, a library made for time series, and is checked in as it is
// served (dist), so that nobody needs more than Go to build the checker.
//
// uPlot comes from npm: third_party has npm's own file, package-lock.json its hash.
package web

//go:generate go test -count=1 -run ^TestBuilt$ . -update

import (
	_ "embed"
)

//go:embed dist/report.js
var script string

//go:embed dist/report.css
var style string

// Script returns the JavaScript of a report, with the license of uPlot.
func Script() string { return script }

// Style returns the style sheet of what Script draws.
func Style() string { return style }
