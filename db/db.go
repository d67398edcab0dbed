// Package db holds the schema of Signalbox's Postgres database: migrations that
// goose runs and sqlc reads. The queries beside them are read by sqlc alone.
package db

import "embed"

// Migrations holds the numbered SQL files below "migrations".
//
//go:embed migrations/*.sql
var Migrations embed.FS
