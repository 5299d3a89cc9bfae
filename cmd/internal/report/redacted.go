package report

import "reflect"

// Redacted is d with every text as redact gives it. It comes before a format: each has escapes of its own, cuts and folds what is long,
// and a secret with a sign in it would look different in all of them.
func Redacted(d *Document, redact func(string) string) *Document {
	return redacted(reflect.ValueOf(d), redact).Interface().(*Document)
}

// redacted copies what holds texts, and leaves alone what does not.
func redacted(v reflect.Value, redact func(string) string) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		out := reflect.New(v.Type()).Elem()
		out.SetString(redact(v.String()))
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(redacted(v.Elem(), redact))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		return redacted(v.Elem(), redact)
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(redacted(v.Index(i), redact))
		}
		return out
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for k, x := range v.Seq2() {
			out.SetMapIndex(redacted(k, redact), redacted(x, redact))
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(redacted(v.Field(i), redact))
			}
		}
		return out
	}
	return v
}
