package cli

// nextSteps says what a user can do about a reason of signalbox.error.v1.Reason or of
// the protocol; nil when there is nothing to say that the message does not.
func nextSteps(reason string, metadata map[string]string) []string {
	switch reason {
	case "CREDENTIALS_MISSING":
		return []string{
			"give a key with --key-file FILE or SIGNALBOX_KEY, or write it to ~/.config/signalbox/config.yaml",
			"a key is made with: signalbox keys create --team TEAM --out FILE",
		}
	case "CREDENTIALS_INVALID":
		return []string{"this gateway does not know the key: check --key, SIGNALBOX_KEY and --server, or make a new one with: signalbox keys create"}
	case "KEY_EXPIRED":
		return []string{"an admin can lengthen it: signalbox keys update KEY --expires 90d"}
	case "KEY_DISABLED":
		return []string{"an admin can enable it: signalbox keys update KEY --enable"}
	case "TEAM_DISABLED":
		return []string{"an admin can enable it: signalbox teams enable TEAM"}
	case "USER_DISABLED":
		return []string{"an admin can enable you: signalbox users enable USER"}
	case "AGENT_NOT_ACTIVE":
		return []string{"see the agent's state: signalbox agents get NAME; one that is suspended goes on after: signalbox agents resume NAME"}
	case "TOKEN_EXPIRED":
		return []string{"get a new token from its issuer"}
	case "TOKEN_INVALID":
		return []string{"see what the gateway wants of tokens: signalbox issuers list"}
	case "ISSUER_UNAVAILABLE":
		return []string{"try again in a moment; the gateway's log says why it cannot read the issuer's keys"}
	case "CERTIFICATE_UNKNOWN":
		return []string{"an admin can let it stand for a key: signalbox keys update KEY --certificate-name URI:spiffe://…"}
	case "PERMISSION_DENIED":
		steps := []string{
			"teams and keys are made with the admin key, which is in DATA-DIR/admin.key of the gateway: --key-file .signalbox/admin.key",
			"agents are changed with a key of the team that owns them",
		}
		if decision := metadata["decision"]; decision != "" {
			steps = append(steps, "an admin or auditor can see which policies decided: signalbox policy explain "+decision)
		}
		return steps

	case "AGENT_NOT_FOUND":
		return []string{"see the agents there are: signalbox agents list"}
	case "AGENT_EXISTS":
		return []string{"choose another name, or change the agent: signalbox agents update NAME"}
	case "AGENT_STATE":
		return []string{"see the agent's state: signalbox agents get NAME; one that is retired or rejected needs no stop"}
	case "TEAM_NOT_FOUND":
		return []string{"see the teams there are: signalbox teams list", "or make one: signalbox teams create NAME"}
	case "TEAM_EXISTS":
		return []string{"choose another name, or change the team: signalbox teams update NAME"}
	case "TEAM_NOT_EMPTY":
		return []string{"see what it owns: signalbox agents list --team NAME, signalbox keys list --team NAME", "and who holds a role in it: signalbox roles list --team NAME"}
	case "KEY_NOT_FOUND":
		return []string{"see the keys there are: signalbox keys list"}
	case "KEY_EXISTS":
		return []string{"choose another name, or give the key a new secret: signalbox keys rotate KEY"}
	case "USER_NOT_FOUND":
		return []string{"see the users there are: signalbox users list", "or make one before its first token: signalbox users create --issuer ISSUER --subject SUBJECT"}
	case "USER_EXISTS":
		return []string{"it has come by itself: see it with signalbox users list --issuer ISSUER"}
	case "ISSUER_NOT_FOUND":
		return []string{"see the issuers there are: signalbox issuers list"}
	case "ISSUER_EXISTS":
		return []string{"choose another name, or change the issuer: signalbox issuers update NAME"}
	case "ISSUER_HAS_USERS":
		return []string{"see their roles: signalbox roles list; to believe its tokens no longer: signalbox issuers update NAME --disable"}
	case "ROLE_NOT_HELD":
		return []string{"see what is held: signalbox roles list --member MEMBER; roles that a token gives are taken at its issuer"}
	case "LAST_ROLE":
		return []string{"give the key another role first: signalbox roles add ROLE MEMBER", "or stop it: signalbox keys disable KEY"}
	case "AGENT_HAS_KEYS":
		return []string{"see which keys call as it: signalbox keys list; then: signalbox keys disable KEY"}
	case "CERTIFICATE_NAME_USED":
		return []string{"take it from the other key first: signalbox keys update KEY --certificate-name NAME…"}
	case "EVENT_NOT_FOUND":
		return []string{"see the events there are: signalbox events list"}
	case "ETAG_MISMATCH":
		return []string{"somebody changed it meanwhile: read it again with get, then repeat the change with the new --etag"}
	case "CARD_INVALID":
		return []string{"correct the agent card; its format is at https://a2a-protocol.org"}
	case "CARD_UNAVAILABLE":
		return []string{"is the agent running, and reachable from the gateway? The card can also be given: --card FILE"}
	case "ADDRESS_FORBIDDEN":
		return []string{"start the gateway with the agent's network in --upstream-allowed-networks, for example 10.0.0.0/8"}

	case "POLICY_NOT_FOUND":
		return []string{"see the policies there are: signalbox policy list"}
	case "POLICY_INVALID":
		return []string{"correct the text; what policies can name is shown by: signalbox policy schema"}
	case "POLICY_SHIPPED":
		return []string{"disable it: signalbox policy disable NAME; then apply one of your own under another name"}
	case "LAST_ADMIN_LOCKED_OUT":
		return []string{"leave somebody who can undo it: see what decides with: signalbox policy check --as key:admin --action ApplyPolicy"}
	case "GRANT_NOT_FOUND":
		return []string{"see the grants there are: signalbox grants list"}
	case "GRANT_EXISTS":
		return []string{"leave --id out to take the next number"}
	case "GRANT_WITHOUT_EFFECT":
		return []string{"change the policies that forbid it, or make it all the same: --allow-without-effect"}
	case "UNKNOWN_PRINCIPAL":
		return []string{"see who there is: signalbox teams list, signalbox keys list, signalbox users list, signalbox agents list"}
	case "REPLAY_NOT_FOUND":
		return []string{"make one: signalbox policy replay FILE --since 7d"}
	case "REPLAY_MISMATCH":
		return []string{"the text has changed since: replay it again"}
	case "DECISION_NOT_FOUND":
		return []string{"see the events there are: signalbox events list"}

	case "INVALID_FILTER":
		return []string{`a filter looks like: agent = "agents/echo" AND outcome != "SUCCEEDED"`}
	case "INVALID_PAGE_TOKEN":
		return []string{"list again from the beginning"}

	case "UPSTREAM_UNREACHABLE":
		return []string{"is the agent running? See where it should be: signalbox agents get NAME"}
	case "UPSTREAM_CREDENTIAL":
		return []string{"see what the agent is shown: signalbox agents get NAME; give it anew with: signalbox agents update NAME --credential-…"}
	case "CALLER_TOKEN_REQUIRED":
		return []string{"call with a token of your identity provider: --key takes one, too"}
	case "UPSTREAM_TIMEOUT":
		return []string{"long work is better streamed (--stream) or left alone (--no-wait, then --get TASK)"}
	case "INVALID_AGENT_RESPONSE":
		return []string{"the agent does not answer as its card says: its owner must correct it"}
	case "UPSTREAM_INTERRUPTED":
		return []string{"the task may go on: ask for it with --get TASK or follow it with --subscribe TASK"}

	case "DATABASE_UNAVAILABLE", "RECORD_UNAVAILABLE", "CONFIGURATION_STALE":
		return []string{"the gateway has lost its Postgres or the room for its record: look at its log and at /readyz"}
	case "BUSY":
		return []string{"close tails that nobody reads, send large requests one after another, or try again in a moment"}
	case "SHUTTING_DOWN":
		return []string{"try again when the gateway is up"}
	case "INTERNAL", "INTERNAL_ERROR":
		return []string{"this is a fault of the gateway or the agent; the log of the gateway has the cause"}

	case "REQUEST_TOO_LARGE":
		return []string{"send less, or start the gateway with a larger --limits-request-bytes"}
	case "TASK_NOT_FOUND":
		return []string{
			"tasks belong to the key that began them: is it the same --key, and the same agent?",
			"one that was begun past the gateway is given to a key with: signalbox tasks adopt AGENT TASK --owner TEAM/KEY",
		}
	case "TASK_OWNED":
		return []string{
			"see whose it is: signalbox tasks owner AGENT TASK; what has an owner cannot be adopted",
			"adopt the others with --skip",
		}
	case "TASK_NOT_CANCELABLE":
		return []string{"the task has ended already: see it with --get TASK"}
	case "CONTEXT_NOT_USABLE":
		return []string{"leave --context out to begin a new one"}
	case "VERSION_NOT_SUPPORTED":
		return []string{"leave --version out, so that the version of the agent's card is used"}
	case "PUSH_NOTIFICATION_NOT_SUPPORTED":
		return []string{"the agent's owner can allow it: signalbox agents update NAME --push direct --push-host HOST"}
	case "REVOKED":
		return []string{"see whether the key and the agent may still be used: signalbox keys get NAME, signalbox agents get NAME"}
	case "UNSUPPORTED_OPERATION":
		return []string{"the agent does not do this; its card says what it does: signalbox agents get NAME --card"}
	}
	if setting := metadata["setting"]; setting != "" {
		return []string{"see the setting " + setting + " of the gateway: signalbox serve --help"}
	}
	return nil
}

// reasonOfCode is for agents whose errors have no details: 0.3 never has them.
func reasonOfCode(code int) string {
	switch code {
	case -32001:
		return "TASK_NOT_FOUND"
	case -32002:
		return "TASK_NOT_CANCELABLE"
	case -32003:
		return "PUSH_NOTIFICATION_NOT_SUPPORTED"
	case -32004:
		return "UNSUPPORTED_OPERATION"
	case -32006:
		return "INVALID_AGENT_RESPONSE"
	case -32009:
		return "VERSION_NOT_SUPPORTED"
	case -32603:
		return "INTERNAL_ERROR"
	}
	return ""
}
