/** Text that arrives in pieces and ends before the first of the stop strings. */
export interface StoppedText {
  /** Up to the stop string. */
  readonly text: string
  /** @returns whether the text has ended: what comes after is not looked at. */
  add(piece: string): boolean
}

/** A stop string may lie across pieces. Of several in one piece the one that begins first counts. */
export function openStoppedText(stops: readonly string[]): StoppedText {
  const longest = Math.max(0, ...stops.map(({ length }) => length))
  let text = ''
  let ended = false
  return {
    get text() {
      return text
    },
    add(piece) {
      if (ended) return true
      const from = Math.max(0, text.length - longest + 1)
      text += piece
      const found = stops.map((stop) => text.indexOf(stop, from)).filter((at) => at >= 0)
      if (found.length === 0) return false
      text = text.slice(0, Math.min(...found))
      ended = true
      return true
    },
  }
}
