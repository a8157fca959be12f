// Edits of a page in the order in which they were made: they may overtake each other on the way.
const inTurn = (data) => ({ ...data, turn: (window.stmTurns = (window.stmTurns ?? 0) + 1) });
