import { zombieProducer } from './scenarios/zombie-producer.ts'
import { testShortForm } from './short-form.ts'

testShortForm(zombieProducer)
