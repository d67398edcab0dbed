package a2a

import (
	"fmt"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// TaskList is the result of ListTasks.
type TaskList struct {
	// Tasks are the tasks of the page.
	Tasks []ListedTask
	// NextPageToken is the agent's token for the next page, "" on the last.
	NextPageToken string
}

// ListedTask is a task of a list.
type ListedTask struct {
	// Raw is the task as the agent wrote it.
	Raw []byte
	// ID and ContextID are "" when the agent left them out.
	ID, ContextID string
	// State is the state of the task.
	State State
}

// ParseTaskList reads a page of tasks. A list that is missing or null is empty.
func ParseTaskList(result []byte) (TaskList, error) {
	s := jsonrpc.NewReplyScanner(result)
	defer s.Release()
	if !s.OpenObject() {
		return TaskList{}, fmt.Errorf("%w: the result of ListTasks is not an object", ErrNotResult)
	}
	var (
		list  TaskList
		fault error
	)
	for s.Next() {
		var err error
		switch string(s.Folded()) {
		case "TASKS":
			err = list.readTasks(s)
		case "NEXTPAGETOKEN":
			err = readText(s, &list.NextPageToken)
		default:
			s.Value()
		}
		if fault == nil {
			fault = err
		}
	}
	if err := s.End(); err != nil {
		return TaskList{}, fmt.Errorf("%w: %w", ErrNotResult, err)
	}
	return list, fault
}

func (l *TaskList) readTasks(s *jsonrpc.Scanner) error {
	if s.Duplicate() {
		s.Value()
		return fmt.Errorf("%w: it has tasks twice", ErrNotResult)
	}
	if !s.OpenArray() {
		if raw := s.Value(); !isNull(raw) {
			return fmt.Errorf("%w: its tasks are not an array", ErrNotResult)
		}
		return nil
	}
	var fault error
	for s.More() {
		raw := s.Value()
		if s.Err() != nil {
			break // whoever scans reports it
		}
		task, err := parseListedTask(raw)
		if err != nil && fault == nil {
			fault = err
		}
		l.Tasks = append(l.Tasks, task)
	}
	return fault
}

func parseListedTask(raw []byte) (ListedTask, error) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenObject() {
		return ListedTask{}, fmt.Errorf("%w: one of its tasks is not an object", ErrNotResult)
	}
	var e event
	if err := e.read(s, nil); err != nil {
		return ListedTask{}, err
	}
	return ListedTask{Raw: raw, ID: e.id, ContextID: e.contextID, State: e.state}, nil
}

// AppendTaskList appends the result of a ListTasks with other tasks, token and sizes than the original,
// which must be one that [ParseTaskList] has read. Other members of the original are kept.
func AppendTaskList(dst, original []byte, tasks [][]byte, nextPageToken string, pageSize, totalSize int) []byte {
	doc, err := parseDocument(original)
	if err != nil {
		doc = document{} // not a list: nothing of it can be kept
	}
	doc.set("tasks", array(tasks))
	doc.set("nextPageToken", jsonrpc.AppendString(nil, nextPageToken))
	doc.set("pageSize", strconv.AppendInt(nil, int64(pageSize), 10))
	doc.set("totalSize", strconv.AppendInt(nil, int64(totalSize), 10))
	return doc.append(dst)
}
