// Package peers runs other people's A2A agents and clients, so that tests meet
// the protocol as it is spoken and not only as we read it. It is for tests and
// is no part of the gateway.
//
// # Agents
//
// [StartAgent] starts an agent of a [Kind] on a free port of the loopback
// address. All of them behave alike, by the text of the message:
//
//	message  a direct message, "reply: message"
//	slow     a task that is submitted, working, and stays so until cancelled
//	stream   a task with one artifact in three chunks, "one two three", completed
//	fail     a task that fails
//	input    a task that waits for input
//	file     a task whose artifact says in hexadecimal what bytes came in the next
//	         part, and has all parts but the first, completed
//	other    a task with one artifact, "echo: " and the text, completed
//
// The server of [GoCLI] is a process of its own before an agent in this one,
// because what the command serves alone either only echoes or races its own
// cancellation. Agents keep the headers of the last call, which [Agent.Headers]
// reads, GoCLI excepted.
//
// # Clients
//
// [RunClient] runs one scenario through an SDK's own client, and returns what
// the SDK made of the replies: find the card below the base address; send
// "hello" and "message"; stream "stream"; send "file" with a file, a link and data
// (JavaScript and Python only); send "slow" without waiting, get it
// when it works, cancel it; get a task that does not exist. [Diff] compares
// that with what an agent of a kind gives when nothing stands between.
//
// # Dialects
//
// [StartDialectAgent] is an agent of a2a-go that speaks one dialect, and
// [NewDialectClient] a client of one, both in this process. [Rows] are what a client
// does with an agent and what must come of it, whatever the two speak: their results
// are in no dialect. The agents of [SDKs] speak every binding, each by a card of its
// own ([Agent.Face]), and so do their clients ([Cell]).
//
// Errors are read from the wire ([CallError]), since the SDK does not tell all of it.
//
// # Fixtures
//
// [StartScripted] is an agent that answers by the prefix of the message id, as
// conformance suites want it. [StartHostile] is an upstream that misbehaves over
// JSON-RPC or HTTP+JSON, [StartHostileGRPC] one that does over gRPC.
//
// # What the SDKs do not do
//
//   - The resolver of both JavaScript SDKs replaces the last path segment of a
//     base address that does not end in a slash, so our JavaScript clients add one.
//
//   - The CLI of a2a-go reports an error as text only: the code of the result
//     is made from that text.
//
//   - The CLI's server around a command (serve --exec) fails a cancellation when
//     the death of the command is noticed first, and ignores one that comes
//     before the command has started.
//
//   - The 0.3 client of a2a-go over HTTP+JSON takes the statuses 200 and 204 only,
//     so it cannot talk to the JavaScript agent of 0.3, which answers 201. Its errors
//     over that binding are those of 1.0, which that agent's client does not read and
//     its own client does not either, because of their content type.
//
//   - The JavaScript SDK of 0.3 has no names of files over HTTP+JSON and gRPC, and puts
//     their bytes into the protobuf messages where the others put base64 text, so it
//     exchanges no files with them there. Over gRPC it cannot send null inside data.
//     Over HTTP+JSON it reads the last line only of an event with several, which is how
//     the Python agent of 0.3 writes them.
//
//   - a2a-go lists tasks in 0.3 over HTTP+JSON and gRPC, which that version has not;
//     over JSON-RPC its client refuses without asking.
//
//   - In 0.3 over gRPC a history length of none is the whole history.
//
//   - The 0.3 client of a2a-go over JSON-RPC reads the data of errors only when it is
//     a list of objects.
//
// # Installation
//
// The packages of the JavaScript and Python peers are pinned in the folders
// beside this file and installed by setup.sh, which StartAgent and RunClient
// call when that has not happened yet.
package peers
