package policy

// operations are the actions that Invoke stands for, the usual ones first.
func operations() []Action {
	return []Action{
		SendMessage, SendStreamingMessage, GetTask, ListTasks, CancelTask, SubscribeToTask, GetExtendedAgentCard,
		CreateTaskPushNotificationConfig, GetTaskPushNotificationConfig, ListTaskPushNotificationConfigs,
		DeleteTaskPushNotificationConfig,
	}
}

// Visible tells whether a caller sees an agent: whether it may discover the agent and
// may call some operation of it. Callers without a credential call nothing and see what
// they may discover. The question is asked with the actions that it takes, whatever its
// own is. The answer is the one that settled it: that of Discover, or that of Invoke or
// of the operation that is permitted.
//
// An agent that is not visible looks to the caller like one that does not exist. For a
// call use [Call], which asks about its operation first.
func Visible(decide func(Query) Answer, q Query) (Answer, bool) {
	q.Action = Discover
	discover := decide(q)
	if !discover.Permit || q.Principal.Type == TypeAnonymous {
		return discover, discover.Permit
	}
	return callable(decide, q)
}

// callable asks whether something of an agent may be called.
func callable(decide func(Query) Answer, q Query) (Answer, bool) {
	q.Action = Invoke
	invoke := decide(q)
	if invoke.Permit {
		return invoke, true
	}
	for _, q.Action = range operations() {
		if a := decide(q); a.Permit {
			return a, true
		}
	}
	return invoke, false
}

// Call answers whether an operation of an agent may be called, and whether the caller
// sees the agent: one that is not [Visible] is never called. A denial comes with the
// action that was denied: the operation's own, or Discover where that alone is in the
// way. This is the question to record, as it has the same answer when it is asked again.
func Call(decide func(Query) Answer, q Query) (asked Action, a Answer, visible bool) {
	asked, a = q.Action, decide(q)
	q.Action = Discover
	discover := decide(q)
	switch {
	case !discover.Permit && a.Permit:
		return Discover, discover, false
	case !discover.Permit:
		return asked, a, false
	case a.Permit || q.Principal.Type == TypeAnonymous:
		return asked, a, true
	}
	_, visible = callable(decide, q)
	return asked, a, visible
}
