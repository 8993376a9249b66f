import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { embeddedTopicAdmin } from '../../adapters/embedded/topic-admin.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { topicAdminConformance } from './topic-admin.ts'

let broker: EmbeddedBroker
topicAdminConformance('the embedded broker', {
  async open() {
    broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
    return embeddedTopicAdmin(broker)
  },
  close: () => broker.close(),
})
