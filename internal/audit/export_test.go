package audit

// ReservedRoom returns the room that is kept for the closings of open calls.
func ReservedRoom(r *SpoolRecorder) int64 { return r.reserve.open.Load() }
