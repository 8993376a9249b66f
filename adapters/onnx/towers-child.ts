/**
 * The process that runs the towers of one release, from its start to its end: towers-process.ts starts it and speaks to
 * it. It ends with the channel to its parent, however that ended, and by nothing that a terminal sends.
 */
import { InvalidRecordError, ShapeError } from '../../ports/errors.ts'
import { type OnnxTowers, openTowers } from './towers.ts'
import type { FromChild, ToChild, TowersFailure } from './towers-messages.ts'

let towers: Promise<OnnxTowers> | undefined

process.once('disconnect', () => process.exit())
process.on('message', (message: ToChild) => {
  if (message.kind === 'open') open(message)
  else void answer(message)
})

function open({ manifest, directory }: Extract<ToChild, { kind: 'open' }>): void {
  towers = openTowers(manifest, directory)
  towers.then(
    () => tell({ kind: 'opened' }),
    (error: unknown) => tell({ kind: 'refused', error: failureOf(error) }),
  )
}

async function answer(message: Exclude<ToChild, { kind: 'open' }>): Promise<void> {
  const { call } = message
  try {
    const opened = (await towers)!
    const result = message.kind === 'query' ? await opened.query(message.input) : await opened.music(message.input)
    tell({ kind: 'done', call, result })
  } catch (error) {
    tell({ kind: 'failed', call, error: failureOf(error) })
  }
}

/** With the channel gone there is nobody to tell, and the process ends. */
function tell(message: FromChild): void {
  process.send?.(message, undefined, undefined, () => {})
}

function failureOf(error: unknown): TowersFailure {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof ShapeError) return { class: 'shape', code: error.code, message }
  if (error instanceof InvalidRecordError) return { class: 'invalid-record', code: error.code, message }
  return { class: 'other', code: 'internal', message }
}
