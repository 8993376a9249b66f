/** The sync of training data that runs in this process, one at a time, and how it stands. */
import type { Logger } from 'pino'
import type { TrainingSyncs, TrainingSyncView } from '../gateway/training.ts'
import type { Broker } from '../ports/broker.ts'
import { CuestreamError, InvalidRequestError } from '../ports/errors.ts'
import type { Codec } from '../runtime/codec.ts'
import { syncTrainingFolder } from './training-folder.ts'

export interface TrainingSyncDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly folder: string
  readonly logger: Logger
}

export function createTrainingSyncs({ broker, codec, folder, logger }: TrainingSyncDeps): TrainingSyncs {
  let running: { readonly stopping: AbortController; readonly ended: Promise<void> } | undefined
  let view: TrainingSyncView | undefined

  async function run(signal: AbortSignal): Promise<void> {
    const onProgress = (doneRecords: number, totalRecords: number) => {
      view = { ...view!, doneRecords, totalRecords }
    }
    try {
      const report = await syncTrainingFolder({ broker, codec, folder, signal, onProgress })
      view = { ...view!, state: 'done', report }
      logger.info(report, 'The training data are up to date')
    } catch (error) {
      if (signal.aborted) view = { ...view!, state: 'stopped' }
      else {
        logger.warn({ err: error }, 'The training data could not be brought up to date')
        const code = error instanceof CuestreamError ? error.code : 'internal'
        view = { ...view!, state: 'failed', failure: { code, message: (error as Error).message } }
      }
    } finally {
      running = undefined
    }
  }

  return {
    start() {
      if (running !== undefined) {
        const message = 'The training data are being synced already; wait for that, or stop it'
        throw new InvalidRequestError('sync-running', message, { status: 409 })
      }
      const stopping = new AbortController()
      view = { state: 'running', doneRecords: 0, totalRecords: 0, report: undefined, failure: undefined }
      running = { stopping, ended: run(stopping.signal) }
      return view
    },
    view: () => view,
    async stop() {
      running?.stopping.abort()
      await running?.ended
      return view
    },
  }
}
