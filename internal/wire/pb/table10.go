package pb

import "github.com/signalbox-dev/signalbox/internal/wire/a2a"

// The messages of lf.a2a.v1.
var (
	part10 = newTable("Part", with(
		oneof(text(1, "text"), scalar(2, "raw", bytesKind), text(3, "url"), scalar(4, "data", valueKind)),
		object(5, "metadata"), text(6, "filename"), text(7, "media_type"))...)

	message10 = newTable("Message",
		text(1, "message_id"), text(2, "context_id"), text(3, "task_id"), scalar(4, "role", roleKind),
		list(message(5, "parts", part10)), object(6, "metadata"), list(text(7, "extensions")), list(text(8, "reference_task_ids")))

	artifact10 = newTable("Artifact",
		text(1, "artifact_id"), text(2, "name"), text(3, "description"), list(message(4, "parts", part10)),
		object(5, "metadata"), list(text(6, "extensions")))

	status10 = newTable("TaskStatus",
		scalar(1, "state", stateKind), message(2, "message", message10), scalar(3, "timestamp", timestampKind))

	task10 = newTable("Task",
		text(1, "id"), text(2, "context_id"), message(3, "status", status10), list(message(4, "artifacts", artifact10)),
		list(message(5, "history", message10)), object(6, "metadata"))

	statusUpdate10 = newTable("TaskStatusUpdateEvent",
		text(1, "task_id"), text(2, "context_id"), message(3, "status", status10), object(4, "metadata"))

	artifactUpdate10 = newTable("TaskArtifactUpdateEvent",
		text(1, "task_id"), text(2, "context_id"), message(3, "artifact", artifact10), flag(4, "append"), flag(5, "last_chunk"),
		object(6, "metadata"))

	auth10 = newTable("AuthenticationInfo", text(1, "scheme"), text(2, "credentials"))

	pushConfig10 = newTable("TaskPushNotificationConfig",
		text(1, "tenant"), text(2, "id"), text(3, "task_id"), text(4, "url"), text(5, "token"), message(6, "authentication", auth10))

	configuration10 = newTable("SendMessageConfiguration",
		list(text(1, "accepted_output_modes")), message(2, "task_push_notification_config", pushConfig10),
		integer(3, "history_length"), flag(4, "return_immediately"))
)

// The requests and responses of lf.a2a.v1.
var (
	sendRequest10 = newTable("SendMessageRequest",
		text(1, "tenant"), message(2, "message", message10), message(3, "configuration", configuration10), object(4, "metadata"))
	getTaskRequest10   = newTable("GetTaskRequest", text(1, "tenant"), text(2, "id"), integer(3, "history_length"))
	listTasksRequest10 = newTable("ListTasksRequest",
		text(1, "tenant"), text(2, "context_id"), scalar(3, "status", stateKind), integer(4, "page_size"), text(5, "page_token"),
		integer(6, "history_length"), scalar(7, "status_timestamp_after", timestampKind), flag(8, "include_artifacts"))
	cancelRequest10     = newTable("CancelTaskRequest", text(1, "tenant"), text(2, "id"), object(3, "metadata"))
	subscribeRequest10  = newTable("SubscribeToTaskRequest", text(1, "tenant"), text(2, "id"))
	getPushRequest10    = newTable("GetTaskPushNotificationConfigRequest", text(1, "tenant"), text(2, "task_id"), text(3, "id"))
	deletePushRequest10 = newTable("DeleteTaskPushNotificationConfigRequest", text(1, "tenant"), text(2, "task_id"), text(3, "id"))
	listPushRequest10   = newTable("ListTaskPushNotificationConfigsRequest",
		text(1, "task_id"), integer(2, "page_size"), text(3, "page_token"), text(4, "tenant"))
	cardRequest10 = newTable("GetExtendedAgentCardRequest", text(1, "tenant"))

	sendResponse10   = newTable("SendMessageResponse", oneof(message(1, "task", task10), message(2, "message", message10))...)
	streamResponse10 = newTable("StreamResponse", oneof(message(1, "task", task10), message(2, "message", message10),
		message(3, "status_update", statusUpdate10), message(4, "artifact_update", artifactUpdate10))...)
	listTasksResponse10 = newTable("ListTasksResponse",
		list(message(1, "tasks", task10)), text(2, "next_page_token"), integer(3, "page_size"), integer(4, "total_size"))
	listPushResponse10 = newTable("ListTaskPushNotificationConfigsResponse",
		list(message(1, "configs", pushConfig10)), text(2, "next_page_token"))
)

// The agent card of lf.a2a.v1.
var (
	stringList10  = newTable("StringList", list(text(1, "list")))
	requirement10 = newTable("SecurityRequirement", dict(message(1, "schemes", stringList10)))

	flows10 = newTable("OAuthFlows", oneof(
		message(1, "authorization_code", newTable("AuthorizationCodeOAuthFlow",
			text(1, "authorization_url"), text(2, "token_url"), text(3, "refresh_url"), dict(text(4, "scopes")), flag(5, "pkce_required"))),
		message(2, "client_credentials", newTable("ClientCredentialsOAuthFlow",
			text(1, "token_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
		message(3, "implicit", newTable("ImplicitOAuthFlow",
			text(1, "authorization_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
		message(4, "password", newTable("PasswordOAuthFlow",
			text(1, "token_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
		message(5, "device_code", newTable("DeviceCodeOAuthFlow",
			text(1, "device_authorization_url"), text(2, "token_url"), text(3, "refresh_url"), dict(text(4, "scopes")))),
	)...)

	scheme10 = newTable("SecurityScheme", oneof(
		message(1, "api_key_security_scheme", newTable("APIKeySecurityScheme",
			text(1, "description"), text(2, "location"), text(3, "name"))),
		message(2, "http_auth_security_scheme", newTable("HTTPAuthSecurityScheme",
			text(1, "description"), text(2, "scheme"), text(3, "bearer_format"))),
		message(3, "oauth2_security_scheme", newTable("OAuth2SecurityScheme",
			text(1, "description"), message(2, "flows", flows10), text(3, "oauth2_metadata_url"))),
		message(4, "open_id_connect_security_scheme", newTable("OpenIdConnectSecurityScheme",
			text(1, "description"), text(2, "open_id_connect_url"))),
		message(5, "mtls_security_scheme", newTable("MutualTlsSecurityScheme", text(1, "description"))),
	)...)

	provider  = newTable("AgentProvider", text(1, "url"), text(2, "organization"))
	extension = newTable("AgentExtension",
		text(1, "uri"), text(2, "description"), flag(3, "required"), object(4, "params"))
	signature = newTable("AgentCardSignature",
		text(1, "protected"), text(2, "signature"), object(3, "header"))

	card10 = newTable("AgentCard",
		text(1, "name"), text(2, "description"),
		list(message(3, "supported_interfaces", newTable("AgentInterface",
			text(1, "url"), text(2, "protocol_binding"), text(3, "tenant"), text(4, "protocol_version")))),
		message(4, "provider", provider), text(5, "version"), text(6, "documentation_url"),
		message(7, "capabilities", newTable("AgentCapabilities",
			flag(1, "streaming"), flag(2, "push_notifications"), list(message(3, "extensions", extension)), flag(4, "extended_agent_card"))),
		dict(message(8, "security_schemes", scheme10)), list(message(9, "security_requirements", requirement10)),
		list(text(10, "default_input_modes")), list(text(11, "default_output_modes")),
		list(message(12, "skills", newTable("AgentSkill",
			text(1, "id"), text(2, "name"), text(3, "description"), list(text(4, "tags")), list(text(5, "examples")),
			list(text(6, "input_modes")), list(text(7, "output_modes")), list(message(8, "security_requirements", requirement10))))),
		list(message(13, "signatures", signature)), text(14, "icon_url"))
)

// table10 returns the message of a call of version 1.0, nil when there is none.
func table10(op a2a.Operation, m Message) *table {
	var request, answer *table
	switch op {
	case a2a.SendMessage:
		request, answer = sendRequest10, sendResponse10
	case a2a.SendStreamingMessage:
		request, answer = sendRequest10, streamResponse10
	case a2a.GetTask:
		request, answer = getTaskRequest10, task10
	case a2a.ListTasks:
		request, answer = listTasksRequest10, listTasksResponse10
	case a2a.CancelTask:
		request, answer = cancelRequest10, task10
	case a2a.SubscribeToTask:
		request, answer = subscribeRequest10, streamResponse10
	case a2a.CreatePushConfig:
		request, answer = pushConfig10, pushConfig10
	case a2a.GetPushConfig:
		request, answer = getPushRequest10, pushConfig10
	case a2a.ListPushConfigs:
		request, answer = listPushRequest10, listPushResponse10
	case a2a.DeletePushConfig:
		request, answer = deletePushRequest10, emptyTable
	case a2a.GetExtendedCard:
		request, answer = cardRequest10, card10
	}
	return choose(op, m, request, answer)
}

// choose returns the table of a message. What a stream is made of are events, which its operation may also
// call results.
func choose(op a2a.Operation, m Message, request, answer *table) *table {
	switch {
	case m == Request:
		return request
	case m == Result || m == Event && op.Streaming():
		return answer
	}
	return nil
}
