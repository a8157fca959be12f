// Numbers the edits of a page, which may overtake each other on the way; the server makes them in this order (web/sent_order.py),
// and says which it has answered (stage/pending.js).  Uploads have no number: Gradio sends them by itself.
const edits = (window.stmEdits ??= { sent: 0, waiting: new Set(), clip: null });   // waiting: turns without an answer.  clip: the open one
function inTurn(data) {
  edits.waiting.add(++edits.sent);
  return { ...data, turn: edits.sent };
}
