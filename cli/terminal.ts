/** What people read: lines and bars on the terminal. Logs go to stderr (runtime/logger.ts). */
import cliProgress from 'cli-progress'

/** Titles and messages are others' words: what would command the terminal is shown instead, as JSON writes it. */
export function say(line = ''): void {
  process.stdout.write(`${line.replace(/(?![\n\t])\p{Cc}/gu, escaped)}\n`)
}

const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

export interface Progress {
  /** @param total where it has grown. */
  update(done: number, note: string, total?: number): void
  stop(): void
}

/**
 * A bar on a terminal; elsewhere a line each time a tenth more is done. The bar leaves cursor, wrapping and signals alone:
 * a handler of its own would swallow Ctrl-C.
 */
export function progressBar(label: string, total: number): Progress {
  if (process.stderr.isTTY) {
    const bar = new cliProgress.SingleBar(
      {
        format: `${label} [{bar}] {value}/{total} {note}`,
        linewrap: true,
        gracefulExit: false,
        stream: process.stderr,
      },
      cliProgress.Presets.shades_classic,
    )
    bar.start(total, 0, { note: '' })
    return {
      update(done, note, now = total) {
        bar.setTotal(now)
        bar.update(done, { note })
      },
      stop: () => bar.stop(),
    }
  }
  let shown = -1
  return {
    update(done, _, now = total) {
      const tenth = Math.floor((done / Math.max(now, 1)) * 10)
      if (tenth === shown) return
      shown = tenth
      say(`${label}: ${done}/${now}`)
    },
    stop() {},
  }
}

/** @returns rows with columns of equal width, each row one line whatever its cells hold. */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map((cell) => cell.replace(/\p{Cc}/gu, escaped)))
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
