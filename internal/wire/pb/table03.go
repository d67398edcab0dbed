package pb

import "github.com/signalbox-dev/signalbox/internal/wire/a2a"

// The messages of a2a.v1. Fields that came after release 0.3.0 are read and written like the others: a
// peer that does not know them skips them.
var (
	filePart03 = newTable("FilePart", with(
		oneof(text(1, "file_with_uri"), scalar(2, "file_with_bytes", bytesKind)),
		text(3, "mime_type"), text(4, "name"))...)

	part03 = newTable("Part", with(
		oneof(text(1, "text"), message(2, "file", filePart03), message(3, "data", newTable("DataPart", object(1, "data")))),
		object(4, "metadata"))...)

	// Release 0.3.0 calls field 5 content, later ones parts, with the same number. JSON has the first.
	message03 = newTable("Message",
		text(1, "message_id"), text(2, "context_id"), text(3, "task_id"), scalar(4, "role", roleKind),
		list(message(5, "content", part03)).as("content", "parts"), object(6, "metadata"), list(text(7, "extensions")),
		list(text(8, "reference_task_ids")))

	artifact03 = newTable("Artifact",
		text(1, "artifact_id"), text(3, "name"), text(4, "description"), list(message(5, "parts", part03)),
		object(6, "metadata"), list(text(7, "extensions")))

	status03 = newTable("TaskStatus",
		scalar(1, "state", stateKind), message(2, "update", message03).as("message"), scalar(3, "timestamp", timestampKind))

	task03 = newTable("Task",
		text(1, "id"), text(2, "context_id"), message(3, "status", status03), list(message(4, "artifacts", artifact03)),
		list(message(5, "history", message03)), object(6, "metadata"))

	statusUpdate03 = newTable("TaskStatusUpdateEvent",
		text(1, "task_id"), text(2, "context_id"), message(3, "status", status03), flag(4, "final"), object(5, "metadata"))

	artifactUpdate03 = newTable("TaskArtifactUpdateEvent",
		text(1, "task_id"), text(2, "context_id"), message(3, "artifact", artifact03), flag(4, "append"), flag(5, "last_chunk"),
		object(6, "metadata"))

	auth03 = newTable("AuthenticationInfo", list(text(1, "schemes")), text(2, "credentials"))

	push03 = newTable("PushNotificationConfig",
		text(1, "id"), text(2, "url"), text(3, "token"), message(4, "authentication", auth03))

	pushConfig03 = newTable("TaskPushNotificationConfig",
		text(1, "name"), message(2, "push_notification_config", push03))

	configuration03 = newTable("SendMessageConfiguration",
		list(text(1, "accepted_output_modes")), message(2, "push_notification", push03),
		integer(3, "history_length"), flag(4, "blocking"))
)

// The requests and responses of a2a.v1.
var (
	sendRequest03 = newTable("SendMessageRequest",
		message(1, "request", message03).as("message"), message(2, "configuration", configuration03), object(3, "metadata"))
	getTaskRequest03    = newTable("GetTaskRequest", text(1, "name"), integer(2, "history_length"))
	cancelRequest03     = newTable("CancelTaskRequest", text(1, "name"))
	subscribeRequest03  = newTable("TaskSubscriptionRequest", text(1, "name"))
	createPushRequest03 = newTable("CreateTaskPushNotificationConfigRequest",
		text(1, "parent"), text(2, "config_id"), message(3, "config", pushConfig03))
	getPushRequest03    = newTable("GetTaskPushNotificationConfigRequest", text(1, "name"))
	deletePushRequest03 = newTable("DeleteTaskPushNotificationConfigRequest", text(1, "name"))
	listPushRequest03   = newTable("ListTaskPushNotificationConfigRequest",
		text(1, "parent"), integer(2, "page_size"), text(3, "page_token"))
	cardRequest03 = newTable("GetAgentCardRequest")

	sendResponse03   = newTable("SendMessageResponse", oneof(message(1, "task", task03), message(2, "msg", message03).as("message"))...)
	streamResponse03 = newTable("StreamResponse", oneof(message(1, "task", task03), message(2, "msg", message03).as("message"),
		message(3, "status_update", statusUpdate03), message(4, "artifact_update", artifactUpdate03))...)
	listPushResponse03 = newTable("ListTaskPushNotificationConfigResponse",
		list(message(1, "configs", pushConfig03)), text(2, "next_page_token"))
)

// The agent card of a2a.v1. Its JSON is that of the well-known address: a security scheme tells its kind by
// a member type and has the names of OpenAPI, and a requirement maps schemes to lists.
var (
	stringList03 = newTable("StringList", list(text(1, "list")))
	security03   = newTable("Security", dict(field{num: 1, proto: "schemes", kind: flatKind, msg: stringList03}))

	flows03 = newTable("OAuthFlows", oneof(
		message(1, "authorization_code", newTable("AuthorizationCodeOAuthFlow",
			text(1, "authorization_url"), text(2, "token_url"), text(3, "refresh_url"), dict(text(4, "scopes")))),
		message(2, "client_credentials", newTable("ClientCredentialsOAuthFlow",
			text(1, "token_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
		message(3, "implicit", newTable("ImplicitOAuthFlow",
			text(1, "authorization_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
		message(4, "password", newTable("PasswordOAuthFlow",
			text(1, "token_url"), text(2, "refresh_url"), dict(text(3, "scopes")))),
	)...)

	scheme03 = newTable("SecurityScheme", oneof(
		message(1, "api_key_security_scheme", newTable("APIKeySecurityScheme",
			text(1, "description"), text(2, "location").as("in"), text(3, "name"))).typed("apiKey"),
		message(2, "http_auth_security_scheme", newTable("HTTPAuthSecurityScheme",
			text(1, "description"), text(2, "scheme"), text(3, "bearer_format"))).typed("http"),
		message(3, "oauth2_security_scheme", newTable("OAuth2SecurityScheme",
			text(1, "description"), message(2, "flows", flows03), text(3, "oauth2_metadata_url"))).typed("oauth2"),
		message(4, "open_id_connect_security_scheme", newTable("OpenIdConnectSecurityScheme",
			text(1, "description"), text(2, "open_id_connect_url"))).typed("openIdConnect"),
		message(5, "mtls_security_scheme", newTable("MutualTlsSecurityScheme", text(1, "description"))).typed("mutualTLS"),
	)...)

	card03 = newTable("AgentCard",
		text(1, "name"), text(2, "description"), text(3, "url"), message(4, "provider", provider), text(5, "version"),
		text(6, "documentation_url"),
		message(7, "capabilities", newTable("AgentCapabilities",
			flag(1, "streaming"), flag(2, "push_notifications"), list(message(3, "extensions", extension)), flag(4, "state_transition_history"))),
		dict(field{num: 8, proto: "security_schemes", kind: schemeKind, msg: scheme03}),
		list(field{num: 9, proto: "security", kind: flatKind, msg: security03}),
		list(text(10, "default_input_modes")), list(text(11, "default_output_modes")),
		list(message(12, "skills", newTable("AgentSkill",
			text(1, "id"), text(2, "name"), text(3, "description"), list(text(4, "tags")), list(text(5, "examples")),
			list(text(6, "input_modes")), list(text(7, "output_modes")),
			list(field{num: 8, proto: "security", kind: flatKind, msg: security03})))),
		flag(13, "supports_authenticated_extended_card"), text(14, "preferred_transport"),
		list(message(15, "additional_interfaces", newTable("AgentInterface", text(1, "url"), text(2, "transport")))),
		text(16, "protocol_version"), list(message(17, "signatures", signature)), text(18, "icon_url"))
)

// table03 returns the message of a call of version 0.3, nil when there is none.
func table03(op a2a.Operation, m Message) *table {
	var request, answer *table
	switch op {
	case a2a.SendMessage:
		request, answer = sendRequest03, sendResponse03
	case a2a.SendStreamingMessage:
		request, answer = sendRequest03, streamResponse03
	case a2a.GetTask:
		request, answer = getTaskRequest03, task03
	case a2a.CancelTask:
		request, answer = cancelRequest03, task03
	case a2a.SubscribeToTask:
		request, answer = subscribeRequest03, streamResponse03
	case a2a.CreatePushConfig:
		request, answer = createPushRequest03, pushConfig03
	case a2a.GetPushConfig:
		request, answer = getPushRequest03, pushConfig03
	case a2a.ListPushConfigs:
		request, answer = listPushRequest03, listPushResponse03
	case a2a.DeletePushConfig:
		request, answer = deletePushRequest03, emptyTable
	case a2a.GetExtendedCard:
		request, answer = cardRequest03, card03
	default: // ListTasks came with 1.0
	}
	return choose(op, m, request, answer)
}
