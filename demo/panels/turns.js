// Numbers the edits of a page, which may overtake each other on the way; the server makes them in this order (web/sent_order.py).
// Uploads have no number: Gradio sends them by itself.
const inTurn = (data) => ({ ...data, turn: (window.stmTurns = (window.stmTurns ?? 0) + 1) });
