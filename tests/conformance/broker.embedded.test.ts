import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { brokerConformance } from './broker.ts'

for (const flush of ['at-once', 'by-os'] as const) {
  const dataFolder = temporaryFolder()
  let broker: EmbeddedBroker | undefined
  const open = async () => {
    broker = await EmbeddedBroker.open({ dataFolder })
    return broker
  }
  const close = async () => broker?.close()

  brokerConformance(`the embedded adapter, topics flushed ${flush}`, {
    open,
    close,
    reopen: () => close().then(open),
    flush,
  })
}
