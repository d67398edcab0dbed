package policy

// The actions of calls. Invoke stands for all of them and for Discover; a question
// may also be asked about Invoke itself.
const (
	SendMessage                      Action = "SendMessage"
	SendStreamingMessage             Action = "SendStreamingMessage"
	GetTask                          Action = "GetTask"
	ListTasks                        Action = "ListTasks"
	CancelTask                       Action = "CancelTask"
	SubscribeToTask                  Action = "SubscribeToTask"
	CreateTaskPushNotificationConfig Action = "CreateTaskPushNotificationConfig"
	GetTaskPushNotificationConfig    Action = "GetTaskPushNotificationConfig"
	ListTaskPushNotificationConfigs  Action = "ListTaskPushNotificationConfigs"
	DeleteTaskPushNotificationConfig Action = "DeleteTaskPushNotificationConfig"
	GetExtendedAgentCard             Action = "GetExtendedAgentCard"

	// InvokeVia is what the root of a chain must be permitted when an agent calls on
	// its behalf.
	InvokeVia Action = "invoke_via"
	// CallTool is to call a tool of a tool server.
	CallTool Action = "call_tool"
	// AdoptTasks is to give tasks that nobody owns to an owner.
	AdoptTasks Action = "adopt_tasks"
)

// The groups of management actions beside Read and Write. Nobody asks about a group;
// policies name them.
const (
	// Evidence is to read what happened. It is part of Read.
	Evidence Action = "evidence"
	// Approve is to decide whether agents of others may be called.
	Approve Action = "approve"
	// Manage is to change who may do what.
	Manage Action = "manage"
)

// The actions of the management plane, named as its methods.
const (
	GetAgent     Action = "GetAgent"
	ListAgents   Action = "ListAgents"
	CreateAgent  Action = "CreateAgent"
	ImportAgent  Action = "ImportAgent"
	UpdateAgent  Action = "UpdateAgent"
	DeleteAgent  Action = "DeleteAgent"
	SuspendAgent Action = "SuspendAgent"
	ResumeAgent  Action = "ResumeAgent"
	ApproveAgent Action = "ApproveAgent"
	RejectAgent  Action = "RejectAgent"

	GetTeam    Action = "GetTeam"
	ListTeams  Action = "ListTeams"
	CreateTeam Action = "CreateTeam"
	UpdateTeam Action = "UpdateTeam"
	DeleteTeam Action = "DeleteTeam"

	GetKey     Action = "GetKey"
	ListKeys   Action = "ListKeys"
	CreateKey  Action = "CreateKey"
	UpdateKey  Action = "UpdateKey"
	DisableKey Action = "DisableKey"
	RotateKey  Action = "RotateKey"
	// SetCertificateNames is to say which client certificates stand for a key.
	SetCertificateNames Action = "SetCertificateNames"

	GetUser     Action = "GetUser"
	ListUsers   Action = "ListUsers"
	CreateUser  Action = "CreateUser"
	UpdateUser  Action = "UpdateUser"
	DisableUser Action = "DisableUser"
	DeleteUser  Action = "DeleteUser"

	ListRoleMembers  Action = "ListRoleMembers"
	AddRoleMember    Action = "AddRoleMember"
	RemoveRoleMember Action = "RemoveRoleMember"

	GetIssuer    Action = "GetIssuer"
	ListIssuers  Action = "ListIssuers"
	CreateIssuer Action = "CreateIssuer"
	UpdateIssuer Action = "UpdateIssuer"
	DeleteIssuer Action = "DeleteIssuer"

	GetPolicy          Action = "GetPolicy"
	ListPolicies       Action = "ListPolicies"
	ListPolicyVersions Action = "ListPolicyVersions"
	CreatePolicy       Action = "CreatePolicy"
	ApplyPolicy        Action = "ApplyPolicy"
	UpdatePolicy       Action = "UpdatePolicy"
	DeletePolicy       Action = "DeletePolicy"
	RollbackPolicy     Action = "RollbackPolicy"
	GetSchema          Action = "GetSchema"
	CheckPolicy        Action = "CheckPolicy"
	ReplayPolicy       Action = "ReplayPolicy"
	GetReplay          Action = "GetReplay"
	GetDecision        Action = "GetDecision"

	GetGrant    Action = "GetGrant"
	ListGrants  Action = "ListGrants"
	CreateGrant Action = "CreateGrant"
	UpdateGrant Action = "UpdateGrant"
	DeleteGrant Action = "DeleteGrant"

	GetEvent     Action = "GetEvent"
	ListEvents   Action = "ListEvents"
	TailEvents   Action = "TailEvents"
	VerifyEvents Action = "VerifyEvents"
)
