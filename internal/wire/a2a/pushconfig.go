package a2a

import (
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// PushConfigList is the result of ListTaskPushNotificationConfigs.
type PushConfigList struct {
	// IDs are the ids of the configs of the page, "" for one that has none.
	IDs []string
	// NextPageToken is the agent's token for the next page, "" on the last.
	NextPageToken string
}

// ParsePushConfigID reads the id in the push config that an agent answered with: in 1.0 the config itself,
// in 0.3 the member pushNotificationConfig of the result. It is "" when there is none.
func ParsePushConfigID(v Version, result []byte) (string, error) {
	s := jsonrpc.NewReplyScanner(result)
	defer s.Release()
	id, err := readPushConfig(s, v)
	if end := s.End(); end != nil {
		return "", fmt.Errorf("%w: %w", ErrNotResult, end)
	}
	return id, err
}

// ParsePushConfigList reads a page of push configs: an object with the member configs, or the bare array of
// version 0.3. A list that is missing or null is empty.
func ParsePushConfigList(v Version, result []byte) (PushConfigList, error) {
	var list PushConfigList
	if len(result) == 0 {
		return list, nil
	}
	s := jsonrpc.NewReplyScanner(result)
	defer s.Release()
	var fault error
	keep := func(err error) {
		if fault == nil {
			fault = err
		}
	}
	if !s.OpenObject() {
		keep(list.readConfigs(s, v))
	} else {
		for s.Next() {
			switch string(s.Folded()) {
			case "CONFIGS":
				keep(list.readConfigs(s, v))
			case "NEXTPAGETOKEN":
				keep(readText(s, &list.NextPageToken))
			default:
				s.Value()
			}
		}
	}
	if err := s.End(); err != nil {
		return PushConfigList{}, fmt.Errorf("%w: %w", ErrNotResult, err)
	}
	return list, fault
}

func (l *PushConfigList) readConfigs(s *jsonrpc.Scanner, v Version) error {
	if !s.OpenArray() {
		if raw := s.Value(); !isNull(raw) {
			return fmt.Errorf("%w: its push configs are not an array", ErrNotResult)
		}
		return nil
	}
	var fault error
	for s.More() {
		id, err := readPushConfig(s, v)
		if s.Err() != nil {
			break // whoever scans reports it
		}
		if err != nil && fault == nil {
			fault = err
		}
		l.IDs = append(l.IDs, id)
	}
	return fault
}

// readPushConfig reads the id of the config that comes next, which 0.3 wraps.
func readPushConfig(s *jsonrpc.Scanner, v Version) (id string, err error) {
	if !s.OpenObject() {
		if raw := s.Value(); !isNull(raw) {
			return "", fmt.Errorf("%w: a push config is not an object", ErrNotResult)
		}
		return "", nil
	}
	for s.Next() {
		var fault error
		switch name := string(s.Folded()); {
		case name == "ID" && v != V03:
			fault = readText(s, &id)
		case name == "PUSHNOTIFICATIONCONFIG" && v == V03:
			id, fault = readPushConfig(s, V10) // the config itself is alike
		default:
			s.Value()
		}
		if err == nil {
			err = fault
		}
	}
	return id, err
}
