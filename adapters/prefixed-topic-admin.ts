/** TopicAdmin of a cluster that others use too: every topic is called `<prefix><name>` there, and `<name>` here. */
import type { TopicAdmin, TopicDescription, WantedTopic } from '../ports/topic-admin.ts'

export function prefixedTopicAdmin(admin: TopicAdmin, prefix: string): TopicAdmin {
  if (prefix === '') return admin
  const there = (topic: WantedTopic) => ({ ...topic, name: prefix + topic.name })
  const here = (topic: TopicDescription) => ({ ...topic, name: topic.name.slice(prefix.length) })
  return {
    wanted: (topics) => admin.wanted(topics),
    async names() {
      const all = await admin.names()
      return all.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
    },
    async describe(names) {
      return (await admin.describe(names.map((name) => prefix + name))).map(here)
    },
    create: (topics) => admin.create(topics.map(there)),
    alter: (name, config) => admin.alter(prefix + name, config),
    addPartitions: (name, total) => admin.addPartitions(prefix + name, total),
    close: () => admin.close(),
  }
}
