import { kafkaClient } from '../../adapters/kafka/client.ts'
import { openKafkaTopicAdmin } from '../../adapters/kafka/topic-admin.ts'
import type { TopicAdmin } from '../../ports/topic-admin.ts'
import { testServices } from '../support/services.ts'
import { topicAdminConformance } from './topic-admin.ts'

const { kafkaBrokers } = await testServices()
const kafka = kafkaClient({ brokers: kafkaBrokers, clientId: 'topic-admin-test' })
let admin: TopicAdmin
topicAdminConformance('Apache Kafka', {
  async open() {
    admin = await openKafkaTopicAdmin(kafka)
    return admin
  },
  async close(prefix) {
    const topics = (await admin.names()).filter((name) => name.startsWith(prefix))
    await admin.close()
    const cleaner = kafka.admin()
    await cleaner.connect()
    await cleaner.deleteTopics({ topics })
    await cleaner.disconnect()
  },
})
