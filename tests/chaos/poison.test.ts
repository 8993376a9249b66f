import { poison } from './scenarios/poison.ts'
import { testShortForm } from './short-form.ts'

testShortForm(poison)
