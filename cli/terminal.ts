/** What people read: lines and bars on the terminal. Logs go to stderr (runtime/logger.ts). */
import cliProgress from 'cli-progress'

export function say(line = ''): void {
  process.stdout.write(`${line}\n`)
}

export interface Progress {
  update(done: number, note: string): void
  stop(): void
}

/** A bar on a terminal; elsewhere a line each time a tenth more is done. */
export function progressBar(label: string, total: number): Progress {
  if (process.stderr.isTTY) {
    const bar = new cliProgress.SingleBar(
      { format: `${label} [{bar}] {value}/{total} {note}`, hideCursor: true, stream: process.stderr },
      cliProgress.Presets.shades_classic,
    )
    bar.start(total, 0, { note: '' })
    return { update: (done, note) => bar.update(done, { note }), stop: () => bar.stop() }
  }
  let shown = -1
  return {
    update(done) {
      const tenth = Math.floor((done / Math.max(total, 1)) * 10)
      if (tenth === shown) return
      shown = tenth
      say(`${label}: ${done}/${total}`)
    },
    stop() {},
  }
}

/** @returns rows with columns of equal width. */
export function table(rows: readonly (readonly string[])[]): string {
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
